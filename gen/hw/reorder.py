"""From groups of many positions to groups of fewer, in stream order."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import nest, select, wrap_add
from .memory import Queue

__all__ = ["Reorder"]


class Reorder(wiring.Component):
    """All channels of one part of a group of positions after the other.

    The payloads of a group, ``folds`` of them, are kept until its last part has been given out; so as many more have
    room as come during that, if they come every ``interval`` clocks.

    Parameters
    ----------
    width : int
        Bits that a position has in a payload.
    pixels, given : int
        Positions in a payload that comes, and in one that is given; ``given`` divides ``pixels``.
    folds : int
        Payloads of a group.
    interval : int
        Clocks between payloads that come.

    Members
    -------
    i : In(stream.Signature(pixels * width))
    o : Out(stream.Signature(given * width))
    """

    def __init__(self, width, *, pixels, given, folds, interval):
        if pixels % given:
            raise ValueError(f"{given} positions do not divide {pixels}")
        self.width, self.pixels, self.given, self.folds = width, pixels, given, folds
        passes = pixels // given - 1
        self.depth = folds + min(folds, -(-passes * folds // interval)) + 2
        self.unit_name = f"reorder_{width}x{pixels}to{given}_{folds}_{self.depth}"
        super().__init__({"i": In(stream.Signature(pixels * width)), "o": Out(stream.Signature(given * width))})

    def elaborate(self, platform):
        m = Module()

        depth, part = self.depth, self.given * self.width
        m.submodules.queue = queue = Queue(self.pixels * self.width, depth, "queue")
        held, head, tail = Signal(range(depth + 1)), Signal(range(depth)), Signal(range(depth))
        put, take, free = Signal(), Signal(), Signal()
        m.d.comb += [self.i.ready.eq(held != depth), put.eq(self.i.valid & self.i.ready),
                     queue.write.addr.eq(tail), queue.write.data.eq(self.i.payload), queue.write.en.eq(put)]
        m.d.sync += held.eq(held + put - free)
        with m.If(put):
            m.d.sync += tail.eq(wrap_add(tail, 1, depth))

        # All folds are read for one part after the other; each word is free when its last part has been read.
        loops = nest(m, take, fold=self.folds, part=self.pixels // self.given)
        fold, number = loops["fold"][0], loops["part"][0]
        last = number == self.pixels // self.given - 1
        ahead, address = Signal.like(fold, name="ahead"), Signal(range(2 * depth))
        m.d.comb += [ahead.eq(Mux(last, 0, fold)), free.eq(take & last), address.eq(head + ahead),
                     queue.read.addr.eq(Mux(address >= depth, address - depth, address)),
                     take.eq((held > ahead) & (~self.o.valid | self.o.ready))]
        with m.If(free):
            m.d.sync += head.eq(wrap_add(head, 1, depth))
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            words = [queue.read.data.word_select(k, part) for k in range(self.pixels // self.given)]
            m.d.sync += [self.o.valid.eq(1), result.eq(select(words, number))]

        return m
