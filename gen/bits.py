"""How integers become bits: the one place that states encodings and bit order.

* Item ``k`` of a word (a channel, a lane) sits at bits ``[k * width, (k + 1) * width)``: low first.
* A bipolar value is one bit: 1 is +1, 0 is -1. Every other value is two's complement or unsigned.
* A power of two, as a weight, is its number, 0 for no power at all, below its sign (1: negative).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["BIPOLAR", "BIT", "BYTE", "Powers", "Values", "pack", "signed_digits"]


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


@dataclass(frozen=True)
class Powers:
    """Weights that are 0 or, with either sign, one of so many powers of two: 1, 2, ..., ``2 ** (count - 1)``.

    n bits have room for ``2 ** (n - 1) - 1`` powers: the weights of n-BQ-NN (Chen et al. 2020, eq. 4), as integers.
    With two ``terms`` a weight is the sum of two such, as in APoT (Li, Dong, Wang 2020): codes side by side.
    """

    count: int
    terms: int = 1

    bipolar, signed, step = False, True, 1

    @classmethod
    def holding(cls, integers, terms=1):
        """The fewest powers that make up ``integers``, in sums of up to ``terms``; None if some need more."""
        for number in range(1, terms + 1):
            *parts, rest = signed_digits(np.asarray(integers, np.int64), number)
            if not rest.any() and np.any(parts):
                return cls(int(np.abs(parts).max()).bit_length(), number)
        return None

    @property
    def lo(self):
        """Least weight."""
        return -self.hi

    @property
    def hi(self):
        """Greatest weight."""
        return sum(1 << power for power in range(self.count)[-self.terms:])

    @property
    def term(self):
        """One of the terms."""
        return Powers(self.count)

    @property
    def bits(self):
        """Width of a code."""
        return self.terms * (1 + self.count.bit_length())

    def __contains__(self, value):
        held = Powers.holding([value], self.terms)
        return not value or (held is not None and held.count <= self.count)

    def encode(self, values):
        """Codes (int64, non-negative) of an array of weights."""
        bits, codes = self.term.bits, 0
        for k, part in enumerate(signed_digits(np.asarray(values, np.int64), self.terms)[:-1]):
            numbers = np.frexp(np.abs(part).astype(np.float64))[1].astype(np.int64)
            codes |= ((part < 0).astype(np.int64) << bits - 1 | numbers) << k * bits
        return codes

    def decode(self, codes):
        """Weights (int64) of an array of codes; inverse of :meth:`encode`."""
        codes, bits, values = np.asarray(codes, np.int64), self.term.bits, 0
        for k in range(self.terms):
            code = codes >> k * bits
            numbers = code & (1 << bits - 1) - 1
            values += np.where(code >> bits - 1 & 1, -1, 1) * (1 << numbers >> 1)
        return values

    @property
    def label(self):
        """The powers as part of an identifier."""
        return f"powers{self.count}" + f"x{self.terms}" * (self.terms > 1)

    def __str__(self):
        return f"{self.term.bits}-bit powers" if self.terms == 1 else f"sums of {self.terms} {self.term}"


def signed_digits(values, count):
    """The ``count`` powers of two, with signs, that sum up to ``values`` where so few can; and what is left over."""
    rest, sign, digits = np.abs(values), np.sign(values), []
    for left in range(count, 0, -1):
        power = rest & -rest
        borrowed = (rest & power << 1 != 0) & (np.bitwise_count(rest) > left)  # 7 is 8 - 1
        digits.append(sign * np.where(borrowed, -power, power))
        rest = np.where(borrowed, rest + power, rest - power)
    return [*digits, rest]


BIT = Values(0, 1)
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
