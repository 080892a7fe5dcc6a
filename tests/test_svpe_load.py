# amaranth: UnusedElaboratable=no
"""Where the words of LOAD records end up, in which order."""

import random

import pytest
from amaranth import *

from gen.hw.svpe.load import LoadUnit
from gen.svpe.records import Load
from gen.svpe.shape import WORD, Shape

from . import streams

SHAPE = Shape(chains=6, chain_words=300)
BYTES = WORD // 8


def random_record(rng):
    """A LOAD record that fits the shape and a small memory."""
    kind = rng.choice([*Load, Load.PIXELS])
    first = rng.randrange(SHAPE.chains)
    count = rng.randint(1, SHAPE.chains - first)
    rows, row_words, targets = {
        Load.PIXELS: (rng.randint(1, 4), rng.choice([1, 2, 5, 9]), SHAPE.chain_words - 36),
        Load.PATTERNS: (1, count, 64), Load.PARAMETERS: (1, rng.randint(1, 20), 1000)}[kind]
    return {"kind": kind, "address": rng.randrange(2000) * BYTES, "rows": rows, "row_words": row_words,
            "row_stride": rng.randrange(100) * BYTES, "target": rng.randrange(targets), "chain_first": first,
            "chain_count": count}


def commands(record):
    """What is to be read: (address, words) of every row."""
    return [(record["address"] + row * record["row_stride"], record["row_words"]) for row in range(record["rows"])]


def writes(record, memory):
    """What is to be written, in order: (kind, chains, address, word)."""
    words = [memory[address // BYTES + k] for address, count in commands(record) for k in range(count)]
    chains = [record["chain_first"] + k for k in range(record["chain_count"])]
    for k, word in enumerate(words):
        match record["kind"]:
            case Load.PIXELS:
                yield Load.PIXELS, chains, record["target"] + k, word
            case Load.PATTERNS:
                yield Load.PATTERNS, [chains[k]], record["target"], word
            case Load.PARAMETERS:
                yield Load.PARAMETERS, [0], record["target"] + k, word


def run(records, memory, *, stall=0.0, seed=0, delay=20, kind=LoadUnit):
    """(commands, writes, how many writes there had been at each ``done``, clocks from the first command on)."""
    rng, dut = random.Random(seed), kind(SHAPE)
    asked, seen, done, beats, clocks = [], [], [], [], [0]
    ports = {Load.PIXELS: (dut.pixels, dut.pixels.address), Load.PATTERNS: (dut.patterns, dut.patterns.address),
             Load.PARAMETERS: (dut.parameters, dut.parameters.index)}

    async def idle(ctx):
        while rng.random() < stall:
            await ctx.tick()

    async def feed(ctx):
        for record in records:
            await idle(ctx)
            await streams.put(ctx, dut.record, record)
        while len(done) < len(records):
            await ctx.tick()

    async def take(ctx):
        while True:
            await idle(ctx)
            command = await streams.get(ctx, dut.command)
            asked.append((command.address, command.words))
            words = memory[command.address // BYTES:][:command.words]
            ready = clocks[0] + delay
            beats.extend((ready, {"data": word, "last": k == len(words) - 1}) for k, word in enumerate(words))

    async def give(ctx):
        while True:
            await idle(ctx)
            while not beats or beats[0][0] > clocks[0]:
                await ctx.tick()
            await streams.put(ctx, dut.i, beats.pop(0)[1])

    async def watch(ctx):
        signals = [signal for port, place in ports.values() for signal in (port.en, place, port.data)]
        while True:
            _, _, ended, *values = await ctx.tick().sample(dut.done, *signals)
            clocks[0] += bool(asked)
            if ended:
                done.append(len(seen))
            for kind, en, place, word in zip(ports, values[::3], values[1::3], values[2::3], strict=True):
                if en:
                    seen.append((kind, [r for r in range(SHAPE.chains) if en >> r & 1], place, word))

    streams.simulate(dut, [feed], [take, give, watch], progress=lambda: f"{len(done)}", limit=50_000)
    return asked, seen, done, clocks[0]


def check(count, **options):
    rng = random.Random(count)
    memory = [rng.getrandbits(WORD) for _ in range(3000)]
    records = [random_record(rng) for _ in range(count)]
    asked, seen, done, clocks = run(records, memory, **options)
    wanted = [list(writes(record, memory)) for record in records]
    assert asked == [command for record in records for command in commands(record)]
    assert seen == [write for group in wanted for write in group]
    assert done == [sum(map(len, wanted[:k + 1])) for k in range(count)]
    return len(seen), clocks


@pytest.mark.parametrize("stall", [0, 0.3, 0.8])
def test_every_word_is_written_to_its_place(stall):
    check(100, stall=stall, seed=round(10 * stall))


def test_a_word_a_clock():
    """Though memory takes its time: the commands of several records are under way."""
    rng = random.Random(0)
    memory = [rng.getrandbits(WORD) for _ in range(3000)]
    record = {"kind": Load.PIXELS, "address": 0, "rows": 2, "row_words": 8, "row_stride": 160, "target": 0,
              "chain_first": 0, "chain_count": 3}
    _, seen, _, clocks = run([record] * 20, memory, delay=60)
    assert len(seen) <= clocks <= len(seen) + 60 + 10


class Hasty(LoadUnit):
    """Takes the end of a row for that of a record."""

    def _write(self, m, row, rows):
        only = Signal.like(row)
        m.d.comb += [only.eq(row), only.end.eq(1)]
        super()._write(m, only, rows)


def test_faults_are_found():
    with pytest.raises((AssertionError, TimeoutError)):
        check(20, kind=Hasty)
