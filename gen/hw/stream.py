# amaranth: UnusedElaboratable=no
"""Joints between units: every unit takes a stream ``i`` and gives a stream ``o``, one clock for all.

Whether a unit is ready may depend on whether the next one is, in the same clock; so that this does not run back through
many units, some of them know it from a register alone: :class:`Gather`, :class:`Skid`, windows, queues.
"""

import math

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .codes import decoded
from .counters import nest, select
from .units import add_unit

__all__ = ["Buffer", "Gather", "Recode", "Skid", "Split", "convert", "pipeline", "skid", "wrapping"]


def pipeline(m, source, *stages, sink):
    """Connect ``source`` through the ``i`` and ``o`` of each stage to ``sink``."""
    for stage in stages:
        wiring.connect(m, source, stage.i)
        source = stage.o
    wiring.connect(m, source, sink)


def wrapping(counter, count):
    """(whether ``counter`` is at ``count - 1``, its next value)."""
    last = Const(1, 1) if count == 1 else counter == count - 1
    return last, Mux(last, 0, counter + 1)


class Gather(wiring.Component):
    """Join ``parts`` payloads into one, ``width`` bits of each of ``pixels`` positions, the first in the low bits.

    All parts but the last are gathered while what was joined before waits at the output.
    """

    def __init__(self, width, parts, pixels=1):
        self.width, self.parts, self.pixels = width, parts, pixels
        self.unit_name = f"gather_{width}x{parts}" + f"x{pixels}" * (pixels > 1)
        super().__init__({
            "i": In(stream.Signature(pixels * width)),
            "o": Out(stream.Signature(pixels * width * parts)),
        })

    def elaborate(self, platform):
        m = Module()

        step, waits = Signal(), Signal()  # the last part has to, for what was joined before
        index, last = nest(m, step, index=self.parts)["index"]
        gathered = Signal(len(self.o.payload) - len(self.i.payload), reset_less=True)
        joined = Signal.like(self.o.payload, name="joined", reset_less=True)
        before = self.width * (self.parts - 1)
        parts = [Cat(gathered.word_select(p, before), self.i.payload.word_select(p, self.width))
                 for p in range(self.pixels)]
        m.d.comb += [
            self.i.ready.eq(~waits),
            step.eq(self.i.valid & self.i.ready),
            self.o.payload.eq(joined),
        ]
        m.d.sync += waits.eq(self.o.valid & ~self.o.ready & Mux(step, index == self.parts - 2, last))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += gathered.eq(Cat(*(position[self.width:] for position in parts)))
        with m.If(step & last):
            m.d.sync += [self.o.valid.eq(1), joined.eq(Cat(*parts))]

        return m


class Split(wiring.Component):
    """Cut a payload into ``parts``, ``width`` bits of each of ``pixels`` positions, low bits first. Holds nothing."""

    def __init__(self, width, parts, pixels=1):
        self.width, self.parts, self.pixels = width, parts, pixels
        self.unit_name = f"split_{width}x{parts}" + f"x{pixels}" * (pixels > 1)
        super().__init__({
            "i": In(stream.Signature(pixels * width * parts)),
            "o": Out(stream.Signature(pixels * width)),
        })

    def elaborate(self, platform):
        m = Module()

        index, last = nest(m, self.o.valid & self.o.ready, index=self.parts)["index"]
        words = [Cat(*(self.i.payload.word_select(p * self.parts + k, self.width) for p in range(self.pixels)))
                 for k in range(self.parts)]
        m.d.comb += [
            self.o.payload.eq(select(words, index)),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & last),
        ]

        return m


class Buffer(wiring.Component):
    """A register between two streams: one side can work on the next payload while the other takes this one."""

    def __init__(self, width):
        self.unit_name = f"buffer_{width}"
        super().__init__({
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(width)),
        })

    def elaborate(self, platform):
        m = Module()

        kept = Signal.like(self.o.payload, name="kept", reset_less=True)
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), self.o.payload.eq(kept)]
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), kept.eq(self.i.payload)]

        return m


def skid(m, platform, give):
    """A :class:`Skid` before the stream ``give``, which this unit gives; returns the skid's input."""
    unit = add_unit(m, "skid", Skid(len(give.payload)), platform)
    wiring.connect(m, unit.o, wiring.flipped(give))
    return unit.i


class Skid(wiring.Component):
    """Two registers between two streams, so that whether one side is ready does not depend on the other at once."""

    def __init__(self, width):
        self.unit_name = f"skid_{width}"
        super().__init__({
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(width)),
        })

    def elaborate(self, platform):
        m = Module()

        first, second = (Signal.like(self.o.payload, name=name, reset_less=True) for name in ("first", "second"))
        waits = Signal()  # a payload in the second register
        m.d.comb += [self.i.ready.eq(~waits), self.o.payload.eq(first)]
        with m.If(~waits):
            m.d.sync += second.eq(self.i.payload)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid | waits), waits.eq(0),
                         first.eq(Mux(waits, second, self.i.payload))]
        with m.Elif(self.i.valid):
            m.d.sync += waits.eq(1)

        return m


class Recode(wiring.Component):
    """Numbers in the codes of another range of values that holds them, all moved by ``offset``. Combinational."""

    def __init__(self, source, values, lanes, offset=0):
        self.source, self.values, self.lanes, self.offset = source, values, lanes, offset
        self.unit_name = f"recode_{source.label}_{values.label}_{lanes}"
        super().__init__({
            "i": In(stream.Signature(lanes * source.bits)),
            "o": Out(stream.Signature(lanes * values.bits)),
        })

    def elaborate(self, platform):
        m = Module()

        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        for k in range(self.lanes):
            value = decoded(self.i.payload.word_select(k, self.source.bits), self.source)
            m.d.comb += self.o.payload.word_select(k, self.values.bits).eq(value + self.offset)

        return m


def convert(width, given, taken, pixels=1):
    """Units that turn a stream of ``given`` items a payload into one of ``taken``, ``width`` bits an item.

    A payload has so many items of each of ``pixels`` positions.
    """
    joined = math.lcm(given, taken)
    units = []
    if joined > given:
        units.append(Gather(given * width, joined // given, pixels))
    if joined > max(given, taken):
        units.append(Buffer(joined * width * pixels))
    if joined > taken:
        units.append(Split(taken * width, joined // taken, pixels))
    return units
