"""How large an array is built, and of what."""

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

from ..bits import BIPOLAR, Powers, Values
from ..errors import UserError

__all__ = ["FORMS", "WORD", "WORD_PIXELS", "Shape"]

FORMS = "svpe", "luts", "vpe"
WORD = 128  # bits of the memory's data bus
WORD_PIXELS = WORD // 16


@dataclass(frozen=True)
class Shape:
    """Size and arithmetic of an array.

    Parameters
    ----------
    chains : int
        Row chains of each lane: the paper's k * Pn, k for each input channel that it works on at a time.
    taps : int
        Cells of a chain: the paper's k, at most 3.
    lanes : int
        Output channels at a time: the paper's Pm.
    bits : int
        Of weights: 1 to 5, powers of two; 16 with ``vpe``.
    form : str
        ``svpe``: shifts, and a DSP for each chain, which adds the chain to those above it and multiplies for its last
        cell; ``luts``: shifts, without a DSP; ``vpe``: a DSP for each cell, which multiplies.
    pixel_bits : int
        Of a signed activation in the array; memory holds 16-bit words.
    acc_bits : int
        Of an accumulator.
    chain_words : int
        Memory words in the pixel buffer of each chain.
    out_depth : int
        Accumulators of each lane, and as many finished sums.
    drains : int
        Lanes that are rescaled and stored at once; divides ``lanes``.
    """

    chains: int = 24
    taps: int = 3
    lanes: int = 32
    bits: int = 3
    form: str = "svpe"
    pixel_bits: int = 17
    acc_bits: int = 36
    chain_words: int = 512
    out_depth: int = 1024
    drains: int = 8

    def __post_init__(self):
        if self.form not in FORMS:
            raise ValueError(f"form {self.form!r}: there are {', '.join(FORMS)}")
        limits = {"chains": (1, 255), "taps": (1, 3), "lanes": (1, 255), "pixel_bits": (2, 17), "acc_bits": (2, 48),
                  "chain_words": (1, 8192), "out_depth": (1, 1 << 16), "drains": (1, 255),
                  "bits": (16, 16) if self.form == "vpe" else (1, 5)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} is {value!r}, no number from {low} to {high}")
        if self.lanes % self.drains:
            raise ValueError(f"drains is {self.drains}, which does not divide {self.lanes} lanes")

    @classmethod
    def load(cls, path):
        """Read an array's size from JSON.

        Raises
        ------
        UserError
            That is no size, or of no array that can be built.
        """
        try:
            shape = cls(**json.loads(Path(path).read_text()))
            if shape.sums.bits > shape.acc_bits:
                raise ValueError(f"acc_bits is {shape.acc_bits}, but a pass sums up to {shape.sums.bits} bits")
            return shape
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: no array ({error}); it takes {', '.join(part.name for part in fields(cls))}, as "
                            "in the shape.json of a build") from None

    @property
    def weights(self):
        """What a weight can be."""
        if self.form == "vpe":
            return Values(-(1 << self.bits - 1), (1 << self.bits - 1) - 1)
        return BIPOLAR if self.bits == 1 else Powers((1 << self.bits - 1) - 1)

    @property
    def sums(self):
        """What the sum over all cells of a lane can be."""
        reach = self.chains * self.taps * max(-self.weights.lo, self.weights.hi) << self.pixel_bits - 1
        return Values(-reach, reach)

    @property
    def code_bits(self):
        """Of a weight in memory."""
        return self.weights.bits

    @property
    def word_bits(self):
        """Of the weights of one cell in all lanes, which are loaded at once."""
        return self.lanes * self.code_bits

    @property
    def set_words(self):
        """Memory words of a set of weights, as many as make whole words of `word_bits`, too."""
        unit = math.lcm(WORD, self.word_bits)
        return -(-self.chains * self.taps * self.word_bits // unit) * unit // WORD

    @property
    def label(self):
        """What kind and size of array this is, as part of an identifier."""
        return f"{self.form}{self.bits}_{self.chains}x{self.taps}x{self.lanes}"
