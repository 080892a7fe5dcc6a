# amaranth: UnusedElaboratable=no
"""Frames of a fixed number of beats: repaired at the input, dropped at the output if they were bad.

The network between the two sees whole frames only, so nothing in it can ever be out of step. One verdict a
frame travels beside it, from :class:`FrameGuard` to :class:`FrameFilter`.
"""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .counters import nest
from .units import add_unit

__all__ = ["Beat", "FrameFilter", "FrameGuard", "VerdictQueue"]


class Beat(data.StructLayout):
    """A payload ``data`` of ``shape``, and whether it is the ``last`` of its frame."""

    def __init__(self, shape):
        super().__init__({"data": shape, "last": 1})


class FrameGuard(wiring.Component):
    """Make every frame exactly ``beats`` long, and say whether it was.

    A frame that ends early is completed with zeros, one beat a cycle; of a frame that does not end in time,
    the excess up to its ``last`` is swallowed. The next frame is met as if nothing had happened. Good frames
    lose no cycle. Nothing is stored, so ``i.ready`` follows ``o.ready`` at once.

    Parameters
    ----------
    beats : int
        Beats a frame.
    shape : Shape
        Of one payload.

    Members
    -------
    i : In(stream.Signature(Beat(shape)))
        Frames as they come.
    o : Out(stream.Signature(shape))
        ``beats`` payloads a frame.
    verdict : Out(stream.Signature(1))
        Whether the frame was as it should be: once a frame, right after its final beat, which waits until the
        verdict before has been taken.
    short, long : Out(1)
        High for one cycle when a frame has proved to be short or long.
    """

    def __init__(self, beats, shape):
        if beats < 1:
            raise ValueError(f"no frame of {beats} beats")
        self.beats = beats
        self.unit_name = "frame_guard"
        super().__init__({
            "i": In(stream.Signature(Beat(shape))),
            "o": Out(stream.Signature(shape)),
            "verdict": Out(stream.Signature(1)),
            "short": Out(1),
            "long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        step = self.o.valid & self.o.ready
        final = nest(m, step, index=self.beats)["index"][1]
        fill = Signal()  # the frame has ended early: zeros complete it
        drop = Signal()  # the frame is complete but has not ended: excess
        go = Signal()  # neither excess nor stopped by an untaken verdict
        ends = fill | self.i.p.last

        m.d.comb += [
            go.eq(~drop & ~(final & self.verdict.valid & ~self.verdict.ready)),
            self.o.valid.eq(go & (fill | self.i.valid)),
            self.o.payload.eq(Mux(fill, 0, self.i.p.data)),
            self.i.ready.eq(drop | (go & ~fill & self.o.ready)),
        ]
        m.d.sync += [
            self.short.eq(step & ~final & ~fill & self.i.p.last),
            self.long.eq(step & final & ~ends),
        ]

        with m.If(self.verdict.ready):
            m.d.sync += self.verdict.valid.eq(0)
        with m.If(step):
            m.d.sync += [fill.eq(ends & ~final), drop.eq(final & ~ends)]
        with m.If(step & final):
            m.d.sync += [self.verdict.valid.eq(1), self.verdict.payload.eq(~fill & self.i.p.last)]
        with m.If(drop & self.i.valid & self.i.p.last):
            m.d.sync += drop.eq(0)

        return m


class VerdictQueue(wiring.Component):
    """Up to ``depth`` single bits, first in, first out.

    All bits move one place towards the output when the first is taken. A free place takes whatever is at the input, and
    the first free one is used up when that is a bit: so nothing is counted or selected, which would be deep.
    """

    def __init__(self, depth):
        if depth < 1:
            raise ValueError(f"no queue of depth {depth}")
        self.depth = depth
        self.unit_name = f"verdict_queue_{depth}"
        super().__init__({
            "i": In(stream.Signature(1)),
            "o": Out(stream.Signature(1)),
        })

    def elaborate(self, platform):
        m = Module()

        bits = Signal(self.depth, reset_less=True)  # oldest first
        used = Signal(self.depth)
        push = Signal()
        pop = Signal()

        m.d.comb += [
            push.eq(self.i.valid & self.i.ready), pop.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(~used[-1]),
            self.o.valid.eq(used[0]),
            self.o.payload.eq(bits[0]),
        ]
        with m.If(pop & ~push):
            m.d.sync += used.eq(used[1:])
        with m.Elif(push & ~pop):
            m.d.sync += used.eq(Cat(1, used))
        filled = Signal(self.depth + 1)
        m.d.comb += filled.eq(Cat((bits & used) | (self.i.payload.replicate(self.depth) & ~used), self.i.payload))
        m.d.sync += bits.eq(Mux(pop, filled[1:], filled))

        return m


class FrameFilter(wiring.Component):
    """Pass on the results of good frames, drop those of bad ones.

    Results wait for their frame's verdict. So what comes before must be able to take a whole frame without
    being rid of any of its results; true of every network whose results depend on the whole frame.

    Parameters
    ----------
    beats : int
        Results a frame.
    shape : Shape
        Of one result.
    depth : int
        Verdicts that can wait, one for each frame inside the network. When there is no room,
        :class:`FrameGuard` holds back the end of the next frame.

    Members
    -------
    i : In(stream.Signature(shape))
        Results, ``beats`` a frame.
    verdict : In(stream.Signature(1))
        Whether the frame is good, one a frame.
    o : Out(stream.Signature(Beat(shape)))
        Results of the good frames, with ``last`` on the final one of each.
    """

    def __init__(self, beats, shape, *, depth=16):
        if beats < 1:
            raise ValueError(f"no frame of {beats} beats")
        self.beats, self.depth = beats, depth
        self.unit_name = "frame_filter"
        super().__init__({
            "i": In(stream.Signature(shape)),
            "verdict": In(stream.Signature(1)),
            "o": Out(stream.Signature(Beat(shape))),
        })

    def elaborate(self, platform):
        m = Module()

        queue = add_unit(m, "queue", VerdictQueue(self.depth), platform)
        connect(m, flipped(self.verdict), queue.i)
        verdict = queue.o

        step = self.i.valid & self.i.ready
        final = nest(m, step, index=self.beats)["index"][1]

        m.d.comb += [
            self.o.p.data.eq(self.i.payload),
            self.o.p.last.eq(final),
            self.o.valid.eq(self.i.valid & verdict.valid & verdict.payload),
            self.i.ready.eq(verdict.valid & (self.o.ready | ~verdict.payload)),
            verdict.ready.eq(step & final),
        ]

        return m
