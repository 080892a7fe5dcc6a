"""Network and shape of the array to a program: records, and the memory image that they work on."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..network import TopK
from .commands import Commands
from .image import Image, Place, Region
from .lowering import lower
from .records import RECORD

__all__ = ["Layer", "Program", "compile"]


@dataclass(frozen=True)
class Layer:
    """A step of the program: what it is called, and its multiply-accumulates a frame."""

    name: str
    macs: int


@dataclass(frozen=True)
class Program:
    """What the array runs for each frame.

    Parameters
    ----------
    records : list of Record
    image : uint8 array
        Memory from the base address on, up to the feature maps: records, patterns, parameters, weights.
    size : int
        Bytes of memory, feature maps included.
    source : Place
        Where the host puts the input.
    table : int array, shape (1 or channels, 256), or None
        What it puts there for each byte of the image; None: the values as they are, which are no bytes.
    result : Place
        Where scores are.
    top : int
        So many of the best classes are the network's output, which the host looks for; 0: scores are.
    layers : list of Layer
    owners : list of int or None
        Which layer each record is for.
    """

    records: list
    image: np.ndarray
    size: int
    source: Place
    table: np.ndarray
    result: Place
    top: int
    layers: list
    owners: list

    def built(self, build):
        """The same program for hardware of the number ``build``."""
        header = replace(self.records[0], fields=self.records[0].fields | {"build": build})
        image = self.image.copy()
        image[:RECORD // 8] = np.frombuffer(header.to_bytes(), np.uint8)
        return replace(self, records=[header, *self.records[1:]], image=image)

    def memory(self, pixels):
        """Memory as the host prepares it for one image, integers (height, width, channels)."""
        memory = np.zeros(self.size, np.uint8)
        memory[:len(self.image)] = self.image
        pixels = np.reshape(pixels, (self.source.height, self.source.width, self.source.channels))
        if self.table is not None:
            pixels = self.table[range(self.source.channels) if len(self.table) > 1 else 0, pixels]
        memory[self.source.address:][:self.source.size] = self.source.encode(pixels)
        return memory

    def scores(self, memory):
        """What the network puts out, as `gen.golden.run` does for one image."""
        scores = self.result.decode(memory).reshape(-1)
        return np.argsort(-scores, kind="stable")[:self.top] if self.top else scores

    def write(self, path):
        """Write the image to ``path``, and what a host has to know of it to ``path`` with the suffix .json."""
        path = Path(path)
        path.write_bytes(self.image.tobytes())
        table = None if self.table is None else self.table.tolist()
        facts = {"size": self.size, "input": self.source._asdict(), "table": table, "output": self.result._asdict(),
                 "top": self.top, "layers": [layer.name for layer in self.layers], "owners": self.owners}
        path.with_suffix(".json").write_text(json.dumps(facts) + "\n")


def compile(network, shape, build=0):
    """The program that computes ``network`` on an array of ``shape``.

    Parameters
    ----------
    network : gen.network.Network
    shape : Shape
    build : int
        Id of the hardware that it is for.

    Raises
    ------
    UserError
        The array cannot compute a layer, or is too small for it; says what would do.
    """
    image = Image()
    steps, source, table, result = lower(network, shape, image)
    schedule = Commands(shape, image, steps).schedule
    starts = image.starts(len(schedule) + 2)
    if starts[-1] > 1 << 32:
        raise UserError(f"{network.name} takes {starts[-1] >> 20:,} MiB of memory, the array addresses 4,096")

    def locate(address):
        return starts[address.region] + address.offset

    records, owners = schedule.records(locate, build)
    image.contents[Region.PROGRAM] = b"".join(record.to_bytes() for record in records)
    content = np.zeros(starts[Region.MAPS], np.uint8)
    for region, part in image.contents.items():
        content[starts[region]:][:len(part)] = np.frombuffer(part, np.uint8)
    top = network.layers[-1].k if isinstance(network.layers[-1], TopK) else 0
    source, result = (place._replace(address=locate(place.address)) for place in (source, result))
    layers = [Layer(step.name, step.macs) for step in steps]
    return Program(records, content, starts[-1], source, table, result, top, layers, owners)
