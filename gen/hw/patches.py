# amaranth: UnusedElaboratable=no
"""Whole windows at once, from their taps."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import nest
from .stream import Skid
from .units import add_unit

__all__ = ["Patches"]


class Patches(wiring.Component):
    """Join the ``taps`` of a window, and put out the whole ``repeat`` times, while the next one comes.

    Parameters
    ----------
    width : int
        Bits of a tap.
    taps : int
        Of a window.
    pixels : int
        Windows side by side in a payload.
    repeat : int
        Times that each is put out.

    Members
    -------
    i : In(stream.Signature(pixels * width))
        One tap of each window after the other.
    o : Out(stream.Signature(pixels * taps * width))
        Window 0 in the low bits, of a window tap 0.
    """

    def __init__(self, width, *, taps, pixels, repeat):
        self.width, self.taps, self.pixels, self.repeat = width, taps, pixels, repeat
        self.unit_name = f"patches_{width}x{taps}x{pixels}_{repeat}"
        super().__init__({"i": In(stream.Signature(pixels * width)), "o": Out(stream.Signature(pixels * taps * width))})

    def elaborate(self, platform):
        m = Module()

        source = add_unit(m, "skid", Skid(len(self.i.payload)), platform)  # what comes need not know who takes
        wiring.connect(m, wiring.flipped(self.i), source.i)
        put, take, free = Signal(), Signal(), Signal()
        whole = nest(m, put, tap=self.taps)["tap"][1]
        last = nest(m, take, again=self.repeat)["again"][1]
        m.d.comb += [
            put.eq(source.o.valid & source.o.ready),
            take.eq(self.o.valid & self.o.ready),
            free.eq(~self.o.valid | (self.o.ready & last)),
            source.o.ready.eq(~whole | free),
        ]
        size = self.width * (self.taps - 1)
        gathered = Signal(self.pixels * size, reset_less=True)
        windows = [Cat(gathered.word_select(p, size), source.o.payload.word_select(p, self.width))
                   for p in range(self.pixels)]
        kept = Signal.like(self.o.payload, name="kept", reset_less=True)
        m.d.comb += self.o.payload.eq(kept)
        with m.If(put):
            m.d.sync += gathered.eq(Cat(window[self.width:] for window in windows))
        with m.If(take & last):
            m.d.sync += self.o.valid.eq(0)
        with m.If(put & whole):
            m.d.sync += [self.o.valid.eq(1), kept.eq(Cat(*windows))]

        return m
