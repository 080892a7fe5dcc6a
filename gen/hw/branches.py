# amaranth: UnusedElaboratable=no
"""Where a stream parts into branches, and where branches meet: copies, sums, concatenations."""

import math
from itertools import accumulate

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .codes import decoded, encoded
from .counters import nest
from .stream import Skid, skid
from .units import add_unit

__all__ = ["Add", "Concat", "Fork"]


class Fork(wiring.Component):
    """Every payload to ``count`` streams, each of which may take it at another time.

    Members
    -------
    i : In(stream.Signature(width))
    o0, o1, ... : Out(stream.Signature(width))
    """

    def __init__(self, width, count):
        self.count = count
        self.unit_name = f"fork_{width}x{count}"
        outputs = {f"o{k}": Out(stream.Signature(width)) for k in range(count)}
        super().__init__({"i": In(stream.Signature(width)), **outputs})

    @property
    def outputs(self):
        """All output streams."""
        return [getattr(self, f"o{k}") for k in range(self.count)]

    def elaborate(self, platform):
        m = Module()

        kept = add_unit(m, "skid", Skid(len(self.i.payload)), platform)
        wiring.connect(m, wiring.flipped(self.i), kept.i)
        taken = Signal(self.count)
        done = Cat(taken[k] | output.ready for k, output in enumerate(self.outputs))
        m.d.comb += kept.o.ready.eq(done.all())
        for k, output in enumerate(self.outputs):
            m.d.comb += [output.valid.eq(kept.o.valid & ~taken[k]), output.payload.eq(kept.o.payload)]
        with m.If(kept.o.valid):
            m.d.sync += taken.eq(Mux(kept.o.ready, 0, done))

        return m


class _Meeting(wiring.Component):
    """Branches that meet.

    Parameters
    ----------
    sources : list of gen.bits.Values
        What each branch gives.
    factors : tuple of int
        What its numbers are multiplied by.
    values : gen.bits.Values
        What comes out.
    lanes : int
        Channels in a payload.

    Members
    -------
    i0, i1, ... : In(stream.Signature(lanes * source.bits))
    o : Out(stream.Signature(lanes * values.bits))
    """

    def __init__(self, sources, factors, *, values, lanes, name):
        self.sources, self.factors, self.values, self.lanes = sources, factors, values, lanes
        terms = "_".join(f"{v.label}x{f}".replace("-", "m") for v, f in zip(sources, factors, strict=True))
        self.unit_name = f"{name}_{terms}_{values.label}_{lanes}"
        inputs = {f"i{k}": In(stream.Signature(lanes * source.bits)) for k, source in enumerate(sources)}
        super().__init__({**inputs, "o": Out(stream.Signature(lanes * values.bits))})

    @property
    def inputs(self):
        """All input streams."""
        return [getattr(self, f"i{k}") for k in range(len(self.sources))]

    def _terms(self, number):
        """Numbers of one branch's payload, times its factor."""
        source = self.sources[number]
        words = (self.inputs[number].payload.word_select(k, source.bits) for k in range(self.lanes))
        return [decoded(word, source) * self.factors[number] for word in words]

    def _give(self, m, platform, valid, numbers):
        """Register ``numbers`` for the output; returns whether it takes them."""
        given = skid(m, platform, self.o)
        m.d.comb += [given.valid.eq(valid), given.payload.eq(Cat(encoded(n, self.values) for n in numbers))]
        return given.ready


class Add(_Meeting):
    """Sums of the branches' numbers, each times its factor."""

    def __init__(self, sources, factors, *, values, lanes):
        super().__init__(sources, factors, values=values, lanes=lanes, name="add")

    def elaborate(self, platform):
        m = Module()

        valid = Signal()
        terms = [self._terms(k) for k in range(len(self.inputs))]
        m.d.comb += valid.eq(Cat(i.valid for i in self.inputs).all())
        advance = self._give(m, platform, valid, [sum(lane) for lane in zip(*terms, strict=True)])
        m.d.comb += [i.ready.eq(advance & valid) for i in self.inputs]

        return m


class Concat(_Meeting):
    """The channels of one branch after the other's, position by position; ``channels`` of each."""

    def __init__(self, sources, factors, channels, *, values, lanes):
        self.beats = [count // lanes for count in channels]
        super().__init__(sources, factors, values=values, lanes=lanes, name=f"concat_{'_'.join(map(str, channels))}")

    def elaborate(self, platform):
        m = Module()

        step = Signal()
        common = math.gcd(*self.beats)
        loops = nest(m, step, beat=common, part=sum(self.beats) // common)
        within, ends = loops["part"][0], accumulate(beats // common for beats in self.beats)
        turns = Signal(len(self.beats), init=1)
        changes = Cat(within == end - 1 for end in ends).any()
        with m.If(step & loops["beat"][1] & changes):
            m.d.sync += turns.eq(turns.rotate_left(1))
        valid = Cat(turn & i.valid for turn, i in zip(turns, self.inputs, strict=True)).any()
        numbers = self._terms(0)
        for k, turn in enumerate(turns[1:], 1):
            numbers = [Mux(turn, term, number) for term, number in zip(self._terms(k), numbers, strict=True)]
        advance = self._give(m, platform, valid, numbers)
        m.d.comb += step.eq(advance & valid)
        m.d.comb += [i.ready.eq(advance & turn) for turn, i in zip(turns, self.inputs, strict=True)]

        return m
