# amaranth: UnusedElaboratable=no
"""A row chain of one lane: cells that multiply pixels by weights and add up, and what adds that to the chains above."""

import functools
import operator

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...bits import Values
from ..counters import select
from .controls import Controls
from .dsp import Dsp
from .later import later

__all__ = ["Chain", "MultiplyChain", "ShiftChain", "chain_for"]


class Chain(wiring.Component):
    """Ports of every kind of chain.

    With the pixel of cell 0 in clock T, that of cell t comes in clock T + t, and the sum is there ``latency`` clocks
    after T; that of the chain above is needed a clock before.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    head : bool
        It is the first of its lane: there are none above.

    Members
    -------
    x : In(taps * pixel_bits)
        Pixels, signed.
    swap : In(taps)
        For each cell, that the next clock's pixel is the first for its next weight.
    load : In(taps)
        For each cell, that ``controls`` are those of its next weight.
    controls : In(Controls(shape))
    above, below : In(link_bits), Out(link_bits)
        Sum of the chains above this one, and with it.
    sum : Out(signed(sum_bits))
        The latter, for what follows the last chain.
    """

    def __init__(self, shape, head, link_bits):
        self.shape, self.head, self.link_bits = shape, head, link_bits
        self.taps, self.pixel_bits, self.sum_bits = shape.taps, shape.pixel_bits, shape.sums.bits
        self.layout = Controls(shape)
        self.unit_name = (f"{shape.form}_chain_{self.taps}x{self.pixel_bits}_{shape.bits}_{self.sum_bits}"
                          + "_head" * head)
        super().__init__({
            "x": In(self.taps * self.pixel_bits), "swap": In(self.taps), "load": In(self.taps),
            "controls": In(self.layout), "above": In(link_bits), "below": Out(link_bits),
            "sum": Out(signed(self.sum_bits))})

    def pixel(self, t):
        """That of cell ``t``."""
        return self.x.word_select(t, self.pixel_bits).as_signed()


class MultiplyChain(Chain):
    """Each cell is a DSP: a multiplier that adds its product to the sum of all cells before."""

    def __init__(self, shape, head):
        super().__init__(shape, head, 48)

    @property
    def latency(self):
        """Clocks from the first cell's pixel to the sum."""
        return self.taps + 2

    def elaborate(self, platform):
        m = Module()

        above = self.above
        for t in range(self.taps):
            m.submodules[f"cell{t}"] = dsp = Dsp(head=self.head and t == 0)
            _, swapped = later(m, self.swap[t], 1, f"swap{t}_")
            m.d.comb += [dsp.x.eq(self.pixel(t)), dsp.factor.eq(self.controls.factor.as_signed()),
                         dsp.load.eq(self.load[t]), dsp.swap.eq(swapped), dsp.above.eq(above)]
            above = dsp.below
        m.d.comb += [self.below.eq(above), self.sum.eq(dsp.total)]

        return m


class ShiftChain(Chain):
    """Cells shift their pixel and add it to the sum of the cells before, or subtract it; in LUTs.

    The sign of the first cell's weight is taken out of the whole chain, so that it costs nothing: what adds the chain
    to those above subtracts instead. With ``svpe``, that is a DSP, whose multiplier is the last cell.
    """

    def __init__(self, shape, head):
        self.multiplies = shape.form == "svpe"
        super().__init__(shape, head, 48 if self.multiplies else shape.sums.bits)

    @property
    def latency(self):
        """Clocks from the first cell's pixel to the sum."""
        return self.taps + 2

    def elaborate(self, platform):
        m = Module()

        last, total = self.taps - self.multiplies, None
        for t in range(last):
            term, (_, swapped) = self._shifted(m, t), later(m, self.swap[t], 1, f"swap{t}_")
            if t:
                term = _added(total, term, self._weight(m, t, "differs", swapped))
            reach = t + 1 << self.pixel_bits - 1 + self.shape.weights.hi.bit_length() - 1
            total = Signal(signed(Values(-reach, reach - 1).bits), name=f"sum{t}", reset_less=True)
            m.d.sync += total.eq(term)
        *_, swapped, settle = later(m, self.swap[-1], 2, "settle")
        if not self.multiplies:
            result = Signal.like(self.sum, name="result", reset_less=True)
            m.d.sync += result.eq(_added(self.above.as_signed(), total, self._weight(m, 0, "sign", settle)))
            m.d.comb += [self.sum.eq(result), self.below.eq(result)]
            return m
        sign = Signal(reset_less=True)
        with m.If(self.load[0]):
            m.d.sync += sign.eq(self.controls.sign)
        m.submodules.dsp = dsp = Dsp(self.head)
        m.d.comb += [
            dsp.x.eq(self.pixel(last)), dsp.factor.eq(self.controls.factor.as_signed()), dsp.load.eq(self.load[last]),
            dsp.swap.eq(swapped), dsp.negative.eq(sign), dsp.settle.eq(settle), dsp.above.eq(self.above),
            self.below.eq(dsp.below), self.sum.eq(dsp.total)]
        if last:
            m.d.comb += dsp.addend.eq(total)

        return m

    def _weight(self, m, t, name, swap):
        """Control ``name`` of cell ``t``'s weight."""
        given = self.controls[name]
        following, present = (Signal(len(given), name=f"{name}{t}_{which}", reset_less=True)
                              for which in ("following", "present"))
        with m.If(self.load[t]):
            m.d.sync += following.eq(given)
        with m.If(swap):
            m.d.sync += present.eq(following)
        return present

    def _shifted(self, m, t):
        """Size of the product of cell ``t``, a clock after the pixel."""
        near, off = (self._weight(m, t, name, self.swap[t]) for name in ("near", "off"))
        x = select([self.pixel(t) << k for k in range(1 << len(near))], near)
        copies = [Signal(x.shape(), name=f"x{t}_{k}", reset_less=True) for k in range(self.layout.copies)]
        for k, copy in enumerate(copies):
            m.d.sync += copy.eq(x)
            if len(off):
                with m.If(off[k]):
                    m.d.sync += copy.eq(0)
        return functools.reduce(operator.or_, (copy << k * self.layout.step for k, copy in enumerate(copies)))


def _added(a, b, negative):
    """``a + b`` or, if ``negative``, ``a - b``, where the lowest bit makes the carry.

    Written as a difference, so that Yosys takes ``a`` to the carry chain as it is.
    """
    positive = ~negative
    other = b ^ positive.replicate(len(b)).as_signed()
    return (Cat(Const(0, 1), a).as_signed() - Cat(positive, other).as_signed()) >> 1


def chain_for(shape, head):
    """The chain for ``shape``."""
    return (MultiplyChain if shape.form == "vpe" else ShiftChain)(shape, head)
