# amaranth: UnusedElaboratable=no
"""From groups of many positions to groups of fewer, in stream order."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import nest, occupancy, select, wrap_add
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
        head, tail, address = (Signal(range(depth), name=name) for name in ("head", "tail", "address"))
        put, take = Signal(), Signal()

        # All folds are read for one part after the other; each word is free when its last part has been read.
        parts = self.pixels // self.given
        loops = nest(m, take, fold=self.folds, part=parts)
        fold_last, (number, group_last) = loops["fold"][1], loops["part"]
        first, last = Signal(init=1), Signal(init=parts == 1)  # parts
        _, full, _ = occupancy(m, put, take & last, depth, "held")
        new, _, _ = occupancy(m, put, take & first, depth, "new")  # of which no part has been read
        following = Signal.like(address)
        m.d.comb += [
            self.i.ready.eq(~full), put.eq(self.i.valid & self.i.ready),
            queue.write.addr.eq(tail), queue.write.data.eq(self.i.payload), queue.write.en.eq(put),
            following.eq(wrap_add(address, 1, depth)), queue.read.addr.eq(address),
            take.eq((new | ~first) & (~self.o.valid | self.o.ready)),
        ]
        with m.If(put):
            m.d.sync += tail.eq(wrap_add(tail, 1, depth))
        with m.If(take):
            m.d.sync += address.eq(Mux(fold_last & ~group_last, head, following))
            with m.If(fold_last):
                m.d.sync += [first.eq(group_last), last.eq(number == (parts - 2) % parts)]
            with m.If(group_last):
                m.d.sync += head.eq(following)
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            words = [queue.read.data.word_select(k, part) for k in range(parts)]
            m.d.sync += [self.o.valid.eq(1), result.eq(select(words, number))]

        return m
