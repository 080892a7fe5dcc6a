# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import *
from amaranth.lib.wiring import connect, flipped

from gen.hw.fifo import Fifo
from gen.hw.svpe.bursts import Bursts
from gen.hw.svpe.dma import Reader, Writer

from . import streams
from .axi_memory import AxiMemory

SHAPES = [(1, 4), (4, 4), (8, 64), (64, 64), (64, 512), (256, 256)]  # burst, depth
BASE = 0x12_3456_7010


def commands(count, most, seed):
    """Short and long commands, some of which begin next to a boundary of 4 KB."""
    rng = random.Random(seed)
    starts = [rng.choice([rng.randrange(1 << 20), 256 * rng.randrange(1, 1 << 12) - rng.randint(1, 3) - 1])
              for _ in range(count)]
    return [{"address": 16 * start, "words": rng.choice([1, 2, 3, rng.randint(1, most)])} for start in starts]


def numbers(command):
    """Words that a command means."""
    return range((BASE + command["address"]) // 16, (BASE + command["address"]) // 16 + command["words"])


def under_base(dut):
    """A test bench that sets the base; it stays until the clock ends."""
    async def bench(ctx):
        ctx.set(dut.base, BASE)
    return bench


def sticky(dut, found):
    """A test bench that notes the error output of every cycle; it never falls."""
    async def bench(ctx):
        while True:
            *_, error = await ctx.tick().sample(dut.error)
            assert error or not any(found)
            found.append(error)
    return bench


def read(dut, asked, memory, background=(), **options):
    """The words, and which of them are last, that ``dut`` reads for commands."""
    count = sum(command["words"] for command in asked)
    (words,) = streams.exchange(dut, [(dut.command, asked)], [(dut.o, count)],
                                background=[under_base(dut), memory.reads(dut.axi), *background], **options)
    return [(word.data, word.last) for word in words]


def expected(asked, memory):
    return [(memory[number], number == numbers(command)[-1]) for command in asked for number in numbers(command)]


@pytest.mark.parametrize("stall", [0, 0.3, 0.7])
@pytest.mark.parametrize("burst, depth", SHAPES)
def test_reader(burst, depth, stall):
    asked, memory = commands(25, 80, seed=depth), AxiMemory(stall=stall, burst=burst)
    assert read(Reader(burst=burst, depth=depth), asked, memory, stall=stall) == expected(asked, memory)


@pytest.mark.parametrize("words", [256, 1000])
def test_reader_takes_a_word_a_clock(words):
    asked, memory = [{"address": 0x40, "words": words}], AxiMemory(latency=40)
    assert read(Reader(), asked, memory, limit=words + 40 + 10) == expected(asked, memory)


def test_reader_loses_no_clock_between_commands():
    asked, memory = [{"address": 0x1000 * k, "words": 8} for k in range(40)], AxiMemory(latency=40)
    assert read(Reader(), asked, memory, limit=320 + 40 + 10) == expected(asked, memory)


def test_reader_asks_for_no_more_than_it_has_room_for():
    dut, memory = Reader(burst=8, depth=24), AxiMemory(burst=8)

    async def bench(ctx):
        await streams.put(ctx, dut.command, {"address": 0, "words": 100})
        for taken, asked in ((0, 24), (7, 24), (1, 32)):
            for _ in range(taken):
                await streams.get(ctx, dut.o)
            await ctx.tick().repeat(60)
            assert sum(count for _, count in memory.bursts) == asked
            assert ctx.get(dut.idle)

    streams.simulate(dut, [bench], [memory.reads(dut.axi)])


def write(dut, asked, memory, content, background=(), **options):
    """Write ``content``; returns how many responses were there when each command was complete."""
    completions = []

    async def watch(ctx):
        while True:
            *_, completed = await ctx.tick().sample(dut.completed)
            if completed:
                completions.append(memory.responses)

    async def feed(ctx):
        for word in content:
            await streams.put(ctx, dut.data, word)

    async def ask(ctx):
        for command in asked:
            await streams.put(ctx, dut.command, command)

    async def wait(ctx):
        while len(completions) < len(asked):
            await ctx.tick()
        assert ctx.get(dut.idle)

    streams.simulate(dut, [feed, ask, wait], [under_base(dut), memory.writes(dut.axi), watch, *background],
                     progress=lambda: f"{len(completions)} of {len(asked)}", **options)
    return completions


def contents(asked, seed=0):
    rng = random.Random(seed)
    return [rng.getrandbits(128) for command in asked for _ in numbers(command)]


def check_written(asked, memory, content, completions):
    """Every word is where it belongs, and no command was complete before its last response, nor missed."""
    places = [number for command in asked for number in numbers(command)]
    assert memory.words == dict(zip(places, content, strict=True))
    ends, done = [numbers(command)[-1] for command in asked], 0
    assert len(completions) == len(asked)
    for end, responses in zip(ends, completions, strict=True):
        done = next(k for k, (number, count) in enumerate(memory.bursts) if k >= done and number + count - 1 == end) + 1
        assert responses >= done


@pytest.mark.parametrize("stall", [0, 0.3, 0.7])
@pytest.mark.parametrize("burst", [1, 4, 64, 256])
def test_writer(burst, stall):
    asked, memory = commands(25, 80, seed=burst), AxiMemory(stall=stall, burst=burst)
    content = contents(asked)
    check_written(asked, memory, content, write(Writer(burst=burst), asked, memory, content))


def test_writer_takes_a_word_a_clock():
    asked, memory = [{"address": 0x40, "words": 256}, {"address": 0x4000, "words": 100}], AxiMemory(latency=40)
    content = contents(asked)
    check_written(asked, memory, content, write(Writer(), asked, memory, content, limit=356 + 40 + 10))


PAIR = [{"address": 0, "words": 30}, {"address": 0x300, "words": 5}]
BAD = [((), False), ((3,), True), ((29,), True), ((40,), False), ((52,), True)]


@pytest.mark.parametrize("bad, error", BAD)
def test_reader_survives_errors_and_tells(bad, error):
    dut, memory = Reader(), AxiMemory(bad=[BASE // 16 + number for number in bad])
    found = []
    assert read(dut, PAIR, memory, background=[sticky(dut, found)]) == expected(PAIR, memory)
    assert found[-1] == error


@pytest.mark.parametrize("bad, error", BAD)
def test_writer_survives_errors_and_tells(bad, error):
    dut, memory, content = Writer(), AxiMemory(bad=[BASE // 16 + number for number in bad]), contents(PAIR)
    found = []
    check_written(PAIR, memory, content, write(dut, PAIR, memory, content, background=[sticky(dut, found)]))
    assert found[-1] == error


@pytest.mark.parametrize("make", [Reader, Writer])
def test_halted_masters_finish_what_is_on_the_bus(make):
    dut, memory = make(burst=16), AxiMemory(burst=16, latency=30)

    async def bench(ctx):
        await streams.put(ctx, dut.command, {"address": 0, "words": 1000})
        if make is Writer:
            ctx.set(dut.data.valid, 1)
        await ctx.tick().repeat(50)
        assert not ctx.get(dut.idle)
        ctx.set(dut.halt, 1)
        await ctx.tick().repeat(2)
        before = len(memory.bursts)
        await ctx.tick().repeat(800)
        assert ctx.get(dut.idle)
        assert len(memory.bursts) == before > 2

    streams.simulate(dut, [bench], [memory.reads(dut.axi) if make is Reader else memory.writes(dut.axi)])


class Late(Bursts):
    """Planted: the base is added to bursts that have been cut without it."""

    def elaborate(self, platform):
        m = Module()

        m.submodules.cut = cut = Bursts(self.burst)
        connect(m, flipped(self.command), cut.command)
        m.d.comb += [self.o.payload.eq(cut.o.payload), self.o.valid.eq(cut.o.valid), cut.o.ready.eq(self.o.ready),
                     self.o.p.address.eq(cut.o.p.address + self.base)]

        return m


class Hasty(Bursts):
    """Planted: every burst is said to be the last of its command."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.o.p.last.eq(1)
        return m


@pytest.mark.parametrize("make", [Reader, Writer])
@pytest.mark.parametrize("bursts, complaint", [
    (Late(64), "cross 4 KB"), (Bursts(128), "a burst of 65"), (Hasty(64), "assert")])
def test_wrong_bursts_are_found(make, bursts, complaint):
    dut, memory, asked = make(), AxiMemory(), [{"address": 0x3e0, "words": 300}] * 3
    dut.bursts = bursts
    with pytest.raises(AssertionError, match=complaint):
        if make is Reader:
            assert read(dut, asked, memory) == expected(asked, memory)
        else:
            check_written(asked[:1], memory, contents(asked[:1]), write(dut, asked[:1], memory, contents(asked)))


def test_too_small_a_buffer_is_found(monkeypatch):
    monkeypatch.setattr("gen.hw.svpe.dma.Fifo", lambda width, depth: Fifo(width, depth // 2 if width > 8 else depth))
    asked, memory = commands(25, 80, seed=1), AxiMemory()
    with pytest.raises((AssertionError, TimeoutError)):
        assert read(Reader(depth=64), asked, memory, stall=0.7) == expected(asked, memory)


def test_what_cannot_be():
    for burst in (0, 3, 512):
        with pytest.raises(ValueError, match=f"bursts of {burst} words"):
            Writer(burst=burst)
    with pytest.raises(ValueError, match="a buffer of 32 words has no room for a burst of 64"):
        Reader(depth=32)
