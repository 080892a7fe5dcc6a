# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from gen.hw.frames import FrameFilter, FrameGuard, VerdictQueue

from . import streams


def frames(lengths, seed=0):
    """A frame of random bytes for each length."""
    rng = random.Random(seed)
    return [[rng.randrange(1, 256) for _ in range(length)] for length in lengths]


def beats_of(frame):
    return [{"data": value, "last": n == len(frame) - 1} for n, value in enumerate(frame)]


def repaired(frame, beats):
    """What the guard must make of a frame."""
    return (frame + [0] * beats)[:beats]


def mixture(beats, count, seed):
    """Lengths of good, short and long frames, every kind after every kind, the last one good."""
    rng = random.Random(seed)
    lengths = [rng.choice([beats, beats, rng.randint(1, beats), beats + rng.randint(1, 2 * beats)])
               for _ in range(count)]
    return [*lengths, 1, 1, beats + 3, 1, beats + 1, beats + 2, beats, beats]


class Stage(wiring.Component):
    """A register in place of a network."""

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()

        m.d.comb += self.i.ready.eq(self.o.ready | ~self.o.valid)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]

        return m


class Sum(wiring.Component):
    """A network whose only result is the sum of its frame."""

    def __init__(self, beats):
        self.beats = beats
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(16))})

    def elaborate(self, platform):
        m = Module()

        index = Signal(range(self.beats + 1))
        m.d.comb += [self.i.ready.eq(~self.o.valid), self.o.valid.eq(index == self.beats)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [index.eq(index + 1), self.o.payload.eq(self.o.payload + self.i.payload)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [index.eq(0), self.o.payload.eq(0)]

        return m


class Chain(wiring.Component):
    """Guard, network, a few registers, filter."""

    def __init__(self, beats, depth=2, registers=3):
        self.guard = FrameGuard(beats, 8)
        self.filter = FrameFilter(1, 16, depth=depth)
        self.stages = [Sum(beats)] + [Stage(16) for _ in range(registers)]
        super().__init__({
            "i": In(self.guard.i.signature.flip()), "o": Out(self.filter.o.signature)})

    def elaborate(self, platform):
        m = Module()

        m.submodules.guard, m.submodules.filter = self.guard, self.filter
        m.submodules += self.stages
        ports = [self.guard.o, *(port for stage in self.stages for port in (stage.i, stage.o)), self.filter.i]
        connect(m, flipped(self.i), self.guard.i)
        for source, sink in zip(ports[::2], ports[1::2], strict=True):
            connect(m, source, sink)
        connect(m, self.guard.verdict, self.filter.verdict)
        connect(m, self.filter.o, flipped(self.o))

        return m


class Counting(wiring.Component):
    """How many frames were short or long, at every verdict."""

    def __init__(self, beats):
        self.guard = FrameGuard(beats, 8)
        super().__init__({
            "i": In(self.guard.i.signature.flip()),
            "o": Out(stream.Signature(data.StructLayout({"short": 8, "long": 8})))})

    def elaborate(self, platform):
        m = Module()

        m.submodules.guard = guard = self.guard
        counts = Signal.like(self.o.p)
        connect(m, flipped(self.i), guard.i)
        m.d.comb += [guard.o.ready.eq(1), guard.verdict.ready.eq(self.o.ready),
                     self.o.valid.eq(guard.verdict.valid), self.o.p.eq(counts)]
        m.d.sync += [counts.short.eq(counts.short + guard.short), counts.long.eq(counts.long + guard.long)]

        return m


def guard(beats, traffic, **options):
    dut = FrameGuard(beats, 8)
    return streams.exchange(
        dut, [(dut.i, [beat for frame in traffic for beat in beats_of(frame)])],
        [(dut.o, beats * len(traffic)), (dut.verdict, len(traffic))], **options)


@pytest.mark.parametrize("stall", [0, 0.3, 0.7])
@pytest.mark.parametrize("beats", [1, 2, 3, 8])
def test_guard_repairs_and_judges(beats, stall):
    traffic = frames(mixture(beats, 60, seed=beats), seed=beats)
    payloads, verdicts = guard(beats, traffic, stall=stall)
    assert payloads == [value for frame in traffic for value in repaired(frame, beats)]
    assert verdicts == [len(frame) == beats for frame in traffic]


@pytest.mark.parametrize("beats", [1, 2, 7])
def test_good_frames_lose_no_cycle(beats):
    guard(beats, frames([beats] * 30), limit=beats * 30 + 2)


def test_guard_takes_structures():
    shape = data.ArrayLayout(signed(4), 2)
    dut = FrameGuard(2, shape)
    payloads, _ = streams.exchange(
        dut, [(dut.i, [{"data": [-8, 7], "last": 1}])], [(dut.o, 2), (dut.verdict, 1)])
    assert [list(payload) for payload in payloads] == [[-8, 7], [0, 0]]


@pytest.mark.parametrize("stall", [0, 0.6])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_queue_keeps_order(depth, stall):
    rng = random.Random(depth)
    bits = [rng.getrandbits(1) for _ in range(100)]
    assert streams.run(VerdictQueue(depth), bits, len(bits), stall=stall, seed=depth) == bits


@pytest.mark.parametrize("stall", [0, 0.5])
@pytest.mark.parametrize("beats", [1, 3])
def test_filter_passes_good_frames_only(beats, stall):
    rng, results = random.Random(beats), frames([beats] * 40)
    verdicts = [rng.getrandbits(1) for _ in results[1:]] + [1]
    dut = FrameFilter(beats, 8, depth=2)
    payloads = [value for frame in results for value in frame]
    good = [frame for frame, verdict in zip(results, verdicts, strict=True) if verdict]
    expected = [beat for frame in good for beat in beats_of(frame)]
    assert streams.exchange(
        dut, [(dut.i, payloads), (dut.verdict, verdicts)], [(dut.o, len(expected))],
        stall=stall) == [expected]


def test_filter_drops_whether_or_not_the_output_is_ready():
    dut = FrameFilter(2, 8, depth=1)
    streams.exchange(dut, [(dut.i, range(10)), (dut.verdict, [0] * 5)], [(dut.o, 0)])


def test_filter_loses_no_cycle():
    dut = FrameFilter(1, 8, depth=2)
    streams.exchange(dut, [(dut.i, range(50)), (dut.verdict, [1] * 50)], [(dut.o, 50)], limit=50 + 3)


@pytest.mark.parametrize("stall", [0, 0.3, 0.7])
@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("beats", [1, 4])
def test_bad_frames_leave_no_trace(beats, depth, stall):
    traffic = frames(mixture(beats, 60, seed=depth), seed=beats)
    good = [frame for frame in traffic if len(frame) == beats]
    received = streams.run(
        Chain(beats, depth), [beat for frame in traffic for beat in beats_of(frame)], len(good), stall=stall)
    assert received == [{"data": sum(frame), "last": 1} for frame in good]


def test_every_bad_frame_is_counted_once():
    lengths = mixture(4, 60, seed=1)
    beats = [beat for frame in frames(lengths) for beat in beats_of(frame)]
    assert streams.run(Counting(4), beats, len(lengths))[-1] == {
        "short": sum(length < 4 for length in lengths), "long": sum(length > 4 for length in lengths)}


@pytest.mark.parametrize(
    "make", [lambda: FrameGuard(0, 8), lambda: FrameFilter(0, 8), lambda: VerdictQueue(0)])
def test_empty_is_refused(make):
    with pytest.raises(ValueError, match=r"no .* 0"):
        make()
