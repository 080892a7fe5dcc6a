"""Accumulators of binary neurons: popcounts of the beats of a window are added up, and compared with a threshold.

The comparison costs nothing: a sum begins at a start value, which stands for the threshold, and a bit of it says at the
end whether the total has reached that.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .popcount import ternary_adder
from .svpe.dsp import W_RND, XY_M, Z_C, Z_P, primitive

__all__ = ["DspAccumulator", "LutAccumulator", "TotalAccumulator", "Totals"]

# The pre-adder's sum is signed: bit 26 says so, and 26 are left.
ADDER_BITS = 26


@dataclass(frozen=True)
class Totals:
    """Totals of windows, 0 to ``most``, and the thresholds that they are compared with.

    Parameters
    ----------
    most : int
        Greatest total.
    low, high : int
        Least and greatest threshold, from 0, which every total reaches, to ``most + 1``, which none does.
    """

    most: int
    low: int
    high: int

    def __post_init__(self):
        if not 0 <= self.low <= self.high <= self.most + 1:
            raise ValueError(f"no such totals and thresholds: {self}")

    @classmethod
    def against(cls, most, thresholds):
        """Totals up to ``most`` and integer ``thresholds``, whether they are in reach or not."""
        clipped = np.clip(np.asarray(thresholds, np.int64), 0, most + 1)
        return cls(most, int(clipped.min()), int(clipped.max()))

    @property
    def bits(self):
        """Least width n of a sum, modulo ``2 ** n``, whose top bit can be the activation.

        Half of the ``2 ** n`` numbers have that bit: enough for what total - threshold is where it is not negative,
        ``most - low + 1`` numbers; and the others for where it is, ``high`` numbers.
        """
        return 1 + (max(self.most - self.low + 1, self.high) - 1).bit_length()

    @property
    def start_bits(self):
        """Width of a start code."""
        return max(1, (self.high - self.low).bit_length())

    @property
    def offset(self):
        """What is to be added to start code and total for the top of ``bits`` bits to be the activation."""
        return (1 << self.bits - 1) - self.high

    def start_codes(self, thresholds):
        """Start codes of integer ``thresholds``: unsigned int64, of the same shape.

        The activation is total >= threshold. Thresholds out of the totals' reach are clipped to 0 and ``most + 1``.

        Raises
        ------
        ValueError
            One is not from ``low`` to ``high``.
        """
        clipped = np.clip(np.asarray(thresholds, np.int64), 0, self.most + 1)
        if np.any((clipped < self.low) | (clipped > self.high)):
            raise ValueError(f"thresholds from {clipped.min()} to {clipped.max()}, not {self.low} to {self.high}")
        return self.high - clipped


class DspAccumulator(wiring.Component):
    """Two neurons' accumulators, with their thresholds, in one DSP48E2 and nothing else.

    48 bits hold both sums side by side, ``spacing`` bits apart: each is start code + ``totals.offset`` + total, never
    negative and always below ``2 ** totals.bits``, so that nothing is carried or borrowed from one to the other. The
    pre-adder adds the rows, the multiplier multiplies by 1, the adder adds the last sum; or in a window's first beat
    the start codes, from port C, and both offsets, which are attribute RND. Every register is one of the block's.

    Times are relative to those of the rows: with a beat's rows in clock T, ``first`` and the start codes are taken in
    clock T + ``first_delay`` and T + ``start_delay``, ``step`` in T + ``step_delay``, and the activations are there in
    T + ``latency``, and stay until the next step. Where there is no step, no other input matters; start codes matter in
    first beats alone. One neuron alone is any of the two; rows and start code of the other are tied to 0.

    Parameters
    ----------
    bits : int
        Width of a row.
    totals : Totals
        What either neuron's total may be, and its threshold.

    Members
    -------
    a0, b0, a1, b1 : In(bits)
        Rows of both neurons, whose sum is the popcount of a beat; unsigned.
    start0, start1 : In(totals.start_bits)
        Start codes of the thresholds of :meth:`Totals.start_codes`.
    first, step : In(1)
        The beat is the first of its window; there is a beat.
    sign0, sign1 : Out(1)
        Activations after the last beat: 1 where the total has reached the threshold.

    Raises
    ------
    ValueError
        The pre-adder is too narrow for two.
    """

    latency, start_delay, first_delay, step_delay = 4, 2, 2, 3

    def __init__(self, bits, totals):
        self.bits, self.totals = bits, totals
        self.spacing = max(totals.bits, bits)
        needed = self.spacing + bits + 1  # for the sum of both rows of element 1
        if needed > ADDER_BITS:
            raise ValueError(f"two sums of {totals.bits} bits, with rows of {bits} bits, take {needed} bits of a DSP's "
                             f"pre-adder, not {ADDER_BITS}")
        self.unit_name = f"dsp_accumulator_{bits}_{totals.most}_{totals.low}to{totals.high}"
        super().__init__({
            "a0": In(bits), "b0": In(bits), "a1": In(bits), "b1": In(bits),
            "start0": In(totals.start_bits), "start1": In(totals.start_bits), "first": In(1), "step": In(1),
            "sign0": Out(1), "sign1": Out(1)})

    def _pair(self, low, high, width):
        """Number of ``width`` bits with ``high`` above ``low``, ``spacing`` bits apart."""
        return Cat(low, Const(0, self.spacing - len(low)), high, Const(0, width - self.spacing - len(high)))

    def elaborate(self, platform):
        m = Module()

        total = Signal(48)
        rows, addends = self._pair(self.a0, self.a1, 27), self._pair(self.b0, self.b1, 27)
        starts, offsets = self._pair(self.start0, self.start1, 48), self.totals.offset * (1 | 1 << self.spacing)
        build = self._primitive if hasattr(platform, "instance") else self._arithmetic
        m.submodules.dsp = build(rows, addends, starts, offsets, total)
        top = self.totals.bits - 1
        m.d.comb += [self.sign0.eq(total[top]), self.sign1.eq(total[self.spacing + top])]

        return m

    def _primitive(self, rows, addends, starts, offsets, total):
        """The block."""
        one = Const(1)
        after, first = Z_P | XY_M, Z_C | W_RND | XY_M
        differing = first & ~after  # bits that are set in the first beat alone; no others differ
        opmode = Cat(self.first if differing >> k & 1 else Const(first >> k & 1) for k in range(9))
        return primitive(
            {"AMULTSEL": "AD", "PREADDINSEL": "A", "DREG": 1, "ADREG": 1, "OPMODEREG": 1, "RND": Const(offsets, 48)},
            {"A": Cat(rows, Const(0, 3)), "D": addends, "B": Const(1, 18), "C": starts, "OPMODE": opmode,
             "INMODE": Const(0b00100, 5),  # D + A (UG579, table 2-1)
             "CEA2": one, "CED": one, "CEAD": one, "CEB1": one, "CEB2": one, "CEC": one, "CEM": one, "CECTRL": one,
             "CEALUMODE": one, "CEP": self.step}, {"P": total})

    def _arithmetic(self, rows, addends, starts, offsets, total):
        """What the block does, for simulation."""
        m = Module()
        a, d, ad, product = (Signal(27, name=name, reset_less=True) for name in ("a", "d", "ad", "m"))
        c, p = (Signal(48, name=name, reset_less=True) for name in ("c", "p"))
        first = Signal(reset_less=True)
        m.d.sync += [a.eq(rows), d.eq(addends), ad.eq(a + d), product.eq(ad), c.eq(starts), first.eq(self.first)]
        with m.If(self.step):
            m.d.sync += p.eq(Mux(first, c + offsets, p) + product)
        m.d.comb += total.eq(p)
        return m


class LutAccumulator(wiring.Component):
    """One neuron's accumulator in LUTs: a sum that begins at a start value, as wide as its sign needs.

    Both rows are added first, so that the loop, in which start value or last sum is chosen, is one adder. With a beat's
    rows in clock T, the other inputs are taken in clock T + 1, and the activation is there in T + ``latency``, until
    the next step.

    Parameters
    ----------
    bits : int
        Width of a row.
    totals : Totals
        What the total may be, and its threshold.

    Members
    -------
    a, b : In(bits)
        Rows, whose sum is the popcount of a beat.
    start : In(totals.bits)
        Start code of :meth:`Totals.start_codes` plus ``totals.offset``.
    first, step : In(1)
        The beat is the first of its window; there is a beat.
    sign : Out(1)
        Activation after the last beat: 1 where the total has reached the threshold.
    """

    latency, start_delay, first_delay, step_delay = 2, 1, 1, 1

    def __init__(self, bits, totals):
        self.bits, self.totals = bits, totals
        self.unit_name = f"lut_accumulator_{bits}_{totals.bits}"
        super().__init__({"a": In(bits), "b": In(bits), "start": In(totals.bits), "first": In(1), "step": In(1),
                          "sign": Out(1)})

    def elaborate(self, platform):
        m = Module()

        total = Signal(self.totals.bits, reset_less=True)
        rows = Signal(min(self.bits, len(total)), reset_less=True)
        m.d.sync += rows.eq(self.a + self.b)
        with m.If(self.step):
            m.d.sync += total.eq(rows + Mux(self.first, self.start, total))
        m.d.comb += self.sign.eq(total[-1])

        return m


class TotalAccumulator(wiring.Component):
    """The total itself: of one row, or of two, whose sum is a beat's.

    Parameters
    ----------
    row : Shape
        Of the rows.
    rows : int
        One or two.
    values : gen.bits.Values
        What totals can be.

    Members
    -------
    row0, row1 : In(row)
    first, step : In(1)
        The beat is the first of its window; there is a beat.
    total : Out
        The sum of the beats so far, a clock later.
    """

    latency, first_delay, step_delay = 1, 0, 0

    def __init__(self, row, rows, values):
        self.rows = [f"row{k}" for k in range(rows)]
        self.unit_name = f"accumulator_{rows}x{'s' * row.signed}{row.width}_{values.label}"
        super().__init__({name: In(row) for name in self.rows} | {
            "first": In(1), "step": In(1), "total": Out(Shape(values.bits, values.signed))})

    def elaborate(self, platform):
        m = Module()

        total = Signal.like(self.total, reset_less=True)
        terms = [Cat(getattr(self, row), Const(0, len(total)))[:len(total)] for row in self.rows]
        following = getattr(self, self.rows[0]) + Mux(self.first, 0, total) if len(terms) == 1 else ternary_adder(
            m, platform, "adder", *terms, total, clear=self.first)
        with m.If(self.step):
            m.d.sync += total.eq(following)
        m.d.comb += self.total.eq(total)

        return m
