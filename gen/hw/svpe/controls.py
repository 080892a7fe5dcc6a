"""Weights as the cells of the array want them."""

from amaranth import *
from amaranth.lib import data

from ...bits import Values
from ..counters import select

__all__ = ["Controls"]


class Controls(data.StructLayout):
    """A weight, decoded once for all chains of a lane.

    Shifts have two parts. A near one, by 0 to 3, is a multiplexer. The far one is by a multiple of 4: there is a copy
    of the pixel for each, and all but one are held at 0, which flip-flops do by themselves; or all, for the weight 0.
    Where there are up to three powers, all shifts are far ones, by multiples of 1.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    near
        How far the near shift goes.
    off
        Which copies are held at 0.
    sign
        Whether the weight of the chain's first cell is negative. The rest of the chain takes this as plus.
    differs
        Whether the weight has the other sign.
    factor
        The weight, for a multiplier; with the sign of ``differs``, if there is that.
    """

    def __init__(self, shape):
        self.shape, self.weights = shape, shape.weights
        shifts = getattr(self.weights, "count", 1)
        self.step = 4 if shifts > 3 else 1  # of far shifts
        self.copies = -(-shifts // self.step)
        if shape.form == "vpe":
            super().__init__({"factor": shape.bits})
            return
        factor = Values(self.weights.lo, self.weights.hi).bits if shape.form == "svpe" else 0
        super().__init__({
            "near": 2 if self.step > 1 else 0, "off": self.copies if shape.bits > 1 else 0, "sign": 1, "differs": 1,
            "factor": factor})

    def decode(self, code, first, before):
        """The members, by name, for ``code``.

        ``first`` says that it is the weight of a chain's first cell, ``before`` has what the last one was decoded to.
        """
        if self.shape.form == "vpe":
            return {"factor": code}
        number, negative = (code[:0], ~code) if self.shape.bits == 1 else (code[:-1], code[-1])
        sign = Mux(first, negative, before.sign)
        differs = negative ^ sign
        powers = range(-(self.shape.bits > 1), self.weights.hi.bit_length())  # by number; -1 is none
        sizes = [(1 << power + 1) >> 1 for power in powers]
        copies = (1 << self.copies) - 1
        return {
            "near": _chosen([max(power, 0) % self.step for power in powers], number),
            "off": _chosen([copies ^ (power >= 0) << max(power, 0) // self.step for power in powers], number),
            "sign": sign, "differs": differs,
            "factor": _chosen([*sizes, *(-size for size in sizes)], Cat(number, differs)),
        }


def _chosen(constants, index):
    return select([Const(constant) for constant in constants], index)
