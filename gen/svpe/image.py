"""The memory image: regions one behind the other, filled while their sizes are not known yet."""

import enum
from typing import NamedTuple

import numpy as np

from .records import RECORD
from .shape import WORD

__all__ = ["ALIGNMENT", "Address", "Image", "Place", "Region"]

ALIGNMENT = WORD // 8


class Region(enum.IntEnum):
    """What lies in memory, in this order."""

    PROGRAM = 0
    PATTERNS = 1
    PARAMETERS = 2
    WEIGHTS = 3
    MAPS = 4


class Address(NamedTuple):
    """A place within a region, in bytes."""

    region: Region
    offset: int

    def behind(self, offset):
        """The address so many bytes behind this one."""
        return Address(self.region, self.offset + offset)


class Place(NamedTuple):
    """Feature maps in memory, plane after plane; each row fills whole words.

    Members
    -------
    address : int or Address
        Of the first plane, in bytes.
    height, width, channels : int
    bits : int
        Of a pixel: 16, or 32 for sums as they are.
    signed : bool
    """

    address: int
    height: int
    width: int
    channels: int
    bits: int = 16
    signed: bool = True

    @property
    def row(self):
        """Bytes of a row."""
        return -(-self.width * self.bits // WORD) * ALIGNMENT

    @property
    def plane(self):
        """Bytes of a channel."""
        return self.height * self.row

    @property
    def size(self):
        """Bytes of all channels."""
        return self.channels * self.plane

    @property
    def _type(self):
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.bits // 8}")

    def encode(self, values):
        """Bytes of an array (height, width, channels)."""
        rows = np.zeros((self.channels, self.height, self.row // self._type.itemsize), self._type)
        rows[:, :, :self.width] = np.asarray(values).transpose(2, 0, 1)
        return rows.reshape(-1).view(np.uint8)

    def decode(self, memory):
        """The array (height, width, channels), int64, in a memory's bytes."""
        rows = memory[self.address:self.address + self.size].view(self._type)
        rows = rows.reshape(self.channels, self.height, -1)[:, :, :self.width]
        return rows.transpose(1, 2, 0).astype(np.int64)


class Image:
    """Regions that grow; feature maps are only counted.

    Addresses are of one region each, until :meth:`starts` tells where the regions begin.
    """

    def __init__(self):
        self.contents = {region: bytearray() for region in Region if region < Region.MAPS}
        self.maps = 0

    def add(self, region, content):
        """Address of ``content``, bytes, now at the end of ``region``."""
        part = self.contents[region]
        part.extend(bytes(-len(part) % ALIGNMENT))
        part.extend(content)
        return Address(region, len(part) - len(content))

    def reserve(self, size):
        """Address of so many bytes of feature maps."""
        self.maps += size
        return Address(Region.MAPS, self.maps - size)

    def starts(self, records):
        """First byte of every region, and behind the last one, with a program of so many records."""
        sizes = [records * RECORD // 8, *(len(part) for part in list(self.contents.values())[1:]), self.maps]
        return np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]).tolist()
