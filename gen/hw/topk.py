"""Numbers of the largest scores of a frame."""

from itertools import pairwise

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["TopK"]


class TopK(wiring.Component):
    """Numbers of the ``k`` largest of ``classes`` scores, best first; the lower number wins a tie.

    Registers hold the best scores so far, in order. A new score goes in before the first that it beats and
    moves the rest one place down. A frame takes ``classes + k`` cycles.

    Parameters
    ----------
    classes : int
        Scores a frame.
    shape : Shape
        Of one score, signed or unsigned.
    k : int
        Places to give, at most ``classes``.

    Members
    -------
    i : In(stream.Signature(shape))
        Scores, channel 0 first.
    o : Out(stream.Signature(range(classes)))
        Channel numbers, best first, ``k`` a frame.
    """

    def __init__(self, classes, shape, k=1):
        if not 1 <= k <= classes:
            raise ValueError(f"no {k} best of {classes} classes")
        self.classes, self.shape, self.k = classes, Shape.cast(shape), k
        self.unit_name = "topk"
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(self.number)),
        })

    @property
    def number(self):
        """Shape of a channel number: at least one bit, so that there is a port."""
        return range(max(2, self.classes))

    def elaborate(self, platform):
        m = Module()

        scores = [Signal(self.shape, name=f"score{place}") for place in range(self.k)]
        channels = [Signal(self.number, name=f"channel{place}") for place in range(self.k)]
        channel = Signal(self.number)  # of the score at the input
        seen = Signal(self.k)  # places that are taken; the others are beaten by anything
        given = Signal(range(self.k))
        full = Signal()  # all scores are in: give the result

        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(full),
            self.o.payload.eq(channels[0]),
        ]

        with m.If(self.i.valid & self.i.ready):
            last = channel == self.classes - 1
            m.d.sync += channel.eq(Mux(last, 0, channel + 1))
            m.d.sync += [full.eq(last), seen.eq(Mux(last, 0, Cat(1, seen)))]
            score, number, before = self.i.payload, channel, C(1)
            for place in range(self.k):
                stays = Signal(name=f"stays{place}")
                m.d.comb += stays.eq(seen[place] & (scores[place] >= self.i.payload))
                with m.If(~stays):
                    m.d.sync += scores[place].eq(Mux(before, self.i.payload, score))
                    m.d.sync += channels[place].eq(Mux(before, channel, number))
                score, number, before = scores[place], channels[place], stays

        with m.If(self.o.valid & self.o.ready):
            done = given == self.k - 1
            m.d.sync += given.eq(Mux(done, 0, given + 1))
            m.d.sync += full.eq(~done)
            m.d.sync += [one.eq(following) for one, following in pairwise(channels)]

        return m
