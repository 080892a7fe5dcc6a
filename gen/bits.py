"""How integers become bits: the one place that states encodings and bit order.

* Item ``k`` of a word (a channel, a lane) sits at bits ``[k * width, (k + 1) * width)``: low first.
* A bipolar value is one bit: 1 is +1, 0 is -1. Every other value is two's complement or unsigned.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["BIPOLAR", "BYTE", "Values", "pack"]


@dataclass(frozen=True)
class Values:
    """The integers that an activation, weight or score can be: ``lo, lo + step, ..., hi``."""

    lo: int
    hi: int
    step: int = 1

    def __post_init__(self):
        if self.lo > self.hi or self.step < 1 or (self.hi - self.lo) % self.step:
            raise ValueError(f"no such value range: {self}")

    @property
    def bipolar(self):
        """Whether this is -1 and +1."""
        return (self.lo, self.hi, self.step) == (-1, 1, 2)

    @property
    def signed(self):
        """Whether codes are two's complement."""
        return self.lo < 0 and not self.bipolar

    @property
    def bits(self):
        """Width of a code."""
        if self.bipolar:
            return 1
        if self.signed:
            return 1 + max((-self.lo - 1).bit_length(), self.hi.bit_length())
        return max(1, self.hi.bit_length())

    @property
    def levels(self):
        """How many values there are."""
        return (self.hi - self.lo) // self.step + 1

    def __contains__(self, value):
        return self.lo <= value <= self.hi and (value - self.lo) % self.step == 0

    def encode(self, values):
        """Codes (int64, non-negative) of an array of values."""
        values = np.asarray(values, np.int64)
        return (values + 1) >> 1 if self.bipolar else values & (1 << self.bits) - 1

    def decode(self, codes):
        """Values (int64) of an array of codes; inverse of :meth:`encode`."""
        codes = np.asarray(codes, np.int64)
        if self.bipolar:
            return 2 * codes - 1
        return codes - ((codes >> self.bits - 1) << self.bits) if self.signed else codes

    @property
    def label(self):
        """The exact range as part of an identifier: ``m4to3`` is -4 to 3."""
        if self.bipolar:
            return "bipolar"
        return f"{self.lo}to{self.hi}".replace("-", "m") + (f"by{self.step}" if self.step > 1 else "")

    def __str__(self):
        if self.bipolar:
            return "bipolar"
        return f"{'int' if self.signed else 'uint'}{self.bits}"


BIPOLAR = Values(-1, 1, 2)
BYTE = Values(0, 255)


def pack(codes, width):
    """Words (Python ints), one for each row of ``codes`` (rows, items), item 0 in the low bits.

    Parameters
    ----------
    codes : array of int, shape (rows, items)
        Codes below ``2 ** width``.
    width : int
        Bits per item, at most 63.
    """
    codes = np.asarray(codes, np.int64)
    bits = (codes[:, :, None] >> np.arange(width)) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(len(codes), -1), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
