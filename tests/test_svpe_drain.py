# amaranth: UnusedElaboratable=no
"""Draining the array against plain integers: rescaling, pooling, packing, storing."""

import random

import numpy as np
import pytest
from amaranth import *

from gen import golden
from gen.bits import Values
from gen.emit import Emitter
from gen.hw.svpe import packing, rescaler, windows
from gen.hw.svpe.accumulate import Accumulators
from gen.hw.svpe.drain import Drain
from gen.hw.svpe.rescaler import SMALLEST, Rescaler
from gen.network import Rescale, Tensor
from gen.svpe.records import LAYOUTS, PARAMETERS, Op, pack
from gen.svpe.shape import Shape

from .streams import get, put, simulate

SMALL = Shape(lanes=4, drains=2, acc_bits=36, out_depth=128)
LATENCY = 4  # of reading a finished sum
FACTOR, ADDEND = 1 << 26, 1 << 62


def wrapped(value, bits):
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def result(value, entry, fields):
    """What becomes of one sum."""
    if fields["raw"]:
        return wrapped(value, 32)
    value = wrapped(value * entry["factor"] + entry["addend"], 64) >> entry["shift"]
    if fields["bipolar"]:
        return 1 if value >= 0 else -1
    return min(max(value, -fields["high"] - 1 if fields["signed"] else 0), fields["high"])


def expected(records, sums, entries):
    """Words in memory, by address, after ``records``."""
    memory = {}
    for record in records:
        bits = 32 if record["raw"] else 16
        for lane in range(record["lanes"]):
            entry, address = entries[record["parameters"] + lane], record["address"] + lane * record["plane_stride"]
            for y in range(record["rows_out"]):
                row = []
                for x in range(record["columns_out"]):
                    top, left = y * record["stride"] - record["pad_top"], x * record["stride"] - record["pad_left"]
                    row.append(max((result(sums[lane][record["source"] + r * record["columns"] + c], entry, record)
                                    for r in range(max(0, top), min(top + record["kernel"], record["rows"]))
                                    for c in range(max(0, left), min(left + record["kernel"], record["columns"]))),
                                   default=SMALLEST))
                for k in range(0, len(row), 128 // bits):
                    word = row[k:k + 128 // bits]
                    memory[address] = sum(value % (1 << bits) << j * bits for j, value in enumerate(word))
                    address += 16
    return memory


def random_sum(rng, bits):
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return rng.choice([low, high, 0, -1, rng.randint(low, high), rng.randint(low, high), rng.randint(-500, 500)])


def random_entry(rng):
    if rng.random() < 0.2:
        return {"factor": rng.choice([-FACTOR, FACTOR - 1]), "addend": rng.choice([-ADDEND, ADDEND - 1, 0]),
                "shift": rng.choice([0, 40, 63])}
    factor, shift = rng.choice([-1, 1]) * rng.randint(0, 1_200_000), rng.randint(0, 40)
    return {"factor": factor, "addend": rng.randint(-1 << 41, 1 << 41), "shift": shift}


def random_record(rng, shape, **fixed):
    """A record whose source, of random size, is within the buffer, at an address of its own."""
    kernel, stride, pad = fixed.pop("pool", None) or rng.choice([(1, 1, 0), (2, 2, 0), (3, 2, 1), (3, 2, 0), (3, 1, 1)])
    rows_out, columns_out = rng.randint(1, 4), rng.randint(1, 11)
    rows = fixed.pop("rows", max(1, (rows_out - 1) * stride + kernel - pad - rng.randint(0, pad)))
    columns = max(1, (columns_out - 1) * stride + kernel - pad - rng.randint(0, pad))
    while rows * columns > shape.out_depth:
        rows_out -= 1
        rows -= stride
    fields = {
        "raw": rng.random() < 0.2, "signed": rng.randint(0, 1), "bipolar": rng.random() < 0.2,
        "high": rng.choice([0, 1, 255, 32767, 65535]), "address": 0,
        "plane_stride": rng.choice([0x4000, 0x12340]), "lanes": rng.randint(1, shape.lanes),
        "parameters": rng.randint(0, shape.lanes), "source": rng.randint(0, shape.out_depth - rows * columns),
        "rows": rows, "columns": columns, "rows_out": rows_out, "columns_out": columns_out, "kernel": kernel,
        "stride": stride, "pad_top": pad, "pad_left": pad} | fixed
    assert set(fields) == {name for name, _ in LAYOUTS[Op.DRAIN]}
    return fields


def words_of(record):
    return record["lanes"] * record["rows_out"] * -(-record["columns_out"] // (4 if record["raw"] else 8))


def rtl(shape, records, sums, entries, *, stall=0.0, seed=0, limit=20_000, latency=LATENCY):
    """(words that the hardware stores for ``records``, by address; clocks from the first one to the last ``done``)."""
    dut, rng = Drain(shape, latency), random.Random(seed)
    memory, commands, data, done, clock = {}, [], [], [], [0]

    async def idle(ctx):
        while rng.random() < stall:
            await ctx.tick()

    async def feed(ctx):
        for index, entry in entries.items():
            ctx.set(dut.parameters.en, 1)
            ctx.set(dut.parameters.index, index)
            ctx.set(dut.parameters.data, pack(PARAMETERS, entry))
            await ctx.tick()
        ctx.set(dut.parameters.en, 0)
        clock[0] = 0
        for record in records:
            await idle(ctx)
            await put(ctx, dut.i, record)
        while len(done) < len(records):
            await ctx.tick()

    async def buffers(ctx):
        words = [0] * latency
        while True:
            *_, place, group = await ctx.tick().sample(dut.read_address, dut.read_group)
            lanes = (sums * 2)[group * shape.drains:][:shape.drains]  # after the last group, of anything
            values = [lane[place % shape.out_depth] % (1 << shape.acc_bits) for lane in lanes]
            word = sum(value << k * shape.acc_bits for k, value in enumerate(values))
            words = [*words[1:], word]
            ctx.set(dut.finished, words[0])

    def sink(port, taken):
        async def bench(ctx):
            while True:
                await idle(ctx)
                taken.append(await get(ctx, port))
        return bench

    async def answer(ctx):
        while True:
            while not commands or len(data) < commands[0].words:
                await ctx.tick()
            command = commands.pop(0)
            assert 1 <= command.words <= windows.BLOCK_WORDS
            for address in range(command.address, command.address + 16 * command.words, 16):
                assert address not in memory, "stored twice"
                memory[address] = data.pop(0)
            await idle(ctx)
            ctx.set(dut.completed, 1)
            await ctx.tick()
            ctx.set(dut.completed, 0)

    async def watch(ctx):
        while True:
            *_, finished = await ctx.tick().sample(dut.done)
            clock[0] += 1
            if finished:
                done.append(clock[0])
                assert len(memory) >= sum(map(words_of, records[:len(done)])), "done too early"

    benches = [buffers, sink(dut.command, commands), sink(dut.data, data), answer, watch]
    simulate(dut, [feed], benches, progress=lambda: f"{len(done)} records, {len(memory)} words", limit=limit)
    return memory, done[-1]


def random_contents(rng, shape, bits=None):
    sums = [[random_sum(rng, bits or shape.acc_bits) for _ in range(shape.out_depth)] for _ in range(shape.lanes)]
    return sums, {index: random_entry(rng) for index in range(0, 2 * shape.lanes)}


@pytest.mark.parametrize("shape", [
    SMALL, Shape(lanes=3, drains=3, acc_bits=18, out_depth=128), Shape(lanes=3, drains=1, acc_bits=35, out_depth=128),
    Shape(lanes=4, drains=2, acc_bits=48, out_depth=128)])
@pytest.mark.parametrize("stall", [0, 0.3, 0.8])
def test_random_records(shape, stall):
    rng = random.Random(f"{shape} {stall}")
    sums, entries = random_contents(rng, shape)
    records = [random_record(rng, shape, address=k << 24) for k in range(12)]
    assert rtl(shape, records, sums, entries, stall=stall)[0] == expected(records, sums, entries)


def test_default_shape():
    shape, rng = Shape(), random.Random(4)
    sums, entries = random_contents(rng, shape)
    records = [record_of(rows=14, columns=14, lanes=29, signed=1, source=700)]
    assert rtl(shape, records, sums, entries)[0] == expected(records, sums, entries)


@pytest.mark.parametrize("stall", [0, 0.4])
def test_tiles_of_several_blocks(stall):
    rng = random.Random(5)
    sums, entries = random_contents(rng, SMALL)
    records = [record_of(address=1 << 20, rows=42, columns=3, lanes=3),
               record_of(address=2 << 20, rows=16, columns=8, lanes=4),
               record_of(address=3 << 20, rows=17, columns=7, raw=1, lanes=4)]
    assert rtl(SMALL, records, sums, entries, stall=stall)[0] == expected(records, sums, entries)


def record_of(*, rows, columns, pool=1, **fields):
    """A record without pads, whose windows do not overlap."""
    return dict.fromkeys((name for name, _ in LAYOUTS[Op.DRAIN]), 0) | {
        "high": 255, "plane_stride": 0x10000, "rows": rows, "columns": columns, "rows_out": rows // pool,
        "columns_out": columns // pool, "kernel": pool, "stride": pool} | fields


@pytest.mark.parametrize("shape, record, words", [
    (SMALL, record_of(rows=12, columns=10, lanes=4), 0),
    (SMALL, record_of(rows=12, columns=10, pool=2, lanes=4), 0),
    (SMALL, record_of(rows=10, columns=12, lanes=4, raw=1), 0),
    (SMALL, record_of(rows=100, columns=1, lanes=4), 2),
    (Shape(lanes=16, out_depth=256), record_of(rows=16, columns=16, lanes=16), 0)])
def test_a_position_a_clock_unless_words_are_the_limit(shape, record, words):
    sums, entries = random_contents(random.Random(6), shape)
    clocks = rtl(shape, [record], sums, entries)[1]
    groups, positions = record["lanes"] // shape.drains, record["rows"] * record["columns"]
    limit = max(positions, words * positions) * groups
    last = words_of(record) // groups if words_of(record) // groups < 128 else 128
    assert limit <= clocks <= limit + last + 50


@pytest.mark.parametrize("acc_bits", [17, 18, 35, 36, 48])
def test_rescaling_is_that_of_the_golden_model(acc_bits):
    rng, bits = random.Random(acc_bits), min(acc_bits, 36)
    values, groups = Values(-30_000, 40_000), []
    for _ in range(60):
        shift = rng.randint(0, 40)
        entry = {"factor": rng.choice([-1 << 24, (1 << 24) - 1, rng.randint(-1_200_000, 1_200_000), 1]),
                 "addend": rng.choice([-1 << 60, 1 << 60, rng.randint(-1 << 41, 1 << 41)]), "shift": shift}
        groups.append((entry, [random_sum(rng, bits) for _ in range(20)]))
    tensor = Tensor(1, 20, 1, Values(-1 << bits - 1, (1 << bits - 1) - 1))
    wanted = []
    for entry, sums in groups:
        factor, addend = np.array([entry["factor"]]), np.array([entry["addend"]])
        layer = Rescale("rescale", tensor, factor, addend, entry["shift"], values)
        wanted += golden._compute(layer, np.array(sums).reshape(1, 1, 20, 1)).astype(int).ravel().tolist()
    clip = [{"raw": 0, "signed": 1, "high": 40_000, "bipolar": 0, "inside": 1}] * len(wanted)
    assert np.clip(rescaled(acc_bits, groups, clip), values.lo, None).tolist() == wanted


def rescaled(acc_bits, groups, modes):
    """Results of a lane for groups of sums, (parameters, sums) each, with parameters that come while it works."""
    dut, results = Rescaler(acc_bits), []
    sums = [value for _, group in groups for value in group]
    starts = np.cumsum([0] + [len(group) for _, group in groups]).tolist()
    following = zip(starts, groups[1:], strict=False)
    loads = {-1: groups[0][0]} | {start + dut.swaps: entry for start, (entry, _) in following}

    async def bench(ctx):
        for clock in range(-1, len(sums) + dut.latency):
            ctx.set(dut.load, clock in loads)
            if clock in loads:
                ctx.set(dut.entry, loads[clock])
            ctx.set(dut.sum, sums[clock] if 0 <= clock < len(sums) else 0)
            ctx.set(dut.swap, sum((clock - k in starts) << k for k in range(dut.swaps)))
            if 0 <= clock - dut.mode_latency < len(sums):
                ctx.set(dut.mode, modes[clock - dut.mode_latency])
            if clock >= dut.latency:
                results.append(ctx.get(dut.result))
            await ctx.tick()

    simulate(dut, [bench])
    return results


def test_sums_of_the_accumulators():
    rng, dut = random.Random(7), Module()
    dut.submodules.accumulators = accumulators = Accumulators(SMALL, 20)
    dut.submodules.drain = drain = Drain(SMALL, accumulators.read_latency)
    dut.d.comb += [accumulators.read_address.eq(drain.read_address), accumulators.read_group.eq(drain.read_group),
                   drain.finished.eq(accumulators.finished), drain.command.ready.eq(1), drain.data.ready.eq(1)]
    sums = [[rng.randint(-1 << 19, (1 << 19) - 1) for _ in range(24)] for _ in range(SMALL.lanes)]
    record, data, ended = record_of(rows=4, columns=6, lanes=4, raw=1), [], []

    async def bench(ctx):
        for clock in range(24 + accumulators.lead):
            ctx.set(accumulators.token, {"slot": 1, "valid": 1, "first": 1, "last": 1, "target": clock,
                                         "end": clock == 23} if clock < 24 else {})
            place = max(0, clock - accumulators.lead)
            ctx.set(accumulators.sums, sum(lane[place] % (1 << 20) << k * 20 for k, lane in enumerate(sums)))
            await ctx.tick()
        while not ended:
            await ctx.tick()
        await put(ctx, drain.i, record)
        await ctx.tick().repeat(60)

    async def watch(ctx):
        while True:
            *_, valid, word, done = await ctx.tick().sample(drain.data.valid, drain.data.payload, accumulators.done)
            data.extend([word] * valid)
            ended.extend([done] * done)

    simulate(dut, [bench], [watch])
    assert data == list(expected([record], sums, dict.fromkeys(range(4))).values())


@pytest.mark.parametrize("module, name, value", [
    (windows, "BLOCKS", 5), (rescaler, "SMALLEST", 0), (rescaler, "_clipped", lambda value, mode: value[:16]),
    (packing, "BLOCK_WORDS", 15)])
def test_planted_bugs_are_caught(monkeypatch, module, name, value):
    rng = random.Random(8)
    sums = [[rng.randint(-500, -1) for _ in range(SMALL.out_depth)] for _ in range(SMALL.lanes)]
    entries = {index: {"factor": 1, "addend": 0, "shift": 0} for index in range(SMALL.lanes)}
    records = [record_of(address=1 << 20, rows=100, columns=1, lanes=4, signed=1),
               record_of(address=2 << 20, rows=8, columns=8, lanes=4, signed=1, pad_top=1, pad_left=1, pool=2)]
    assert rtl(SMALL, records, sums, entries, stall=0.6)[0] == expected(records, sums, entries)
    monkeypatch.setattr(module, name, value)
    with pytest.raises(AssertionError):
        assert rtl(SMALL, records, sums, entries, stall=0.6)[0] == expected(records, sums, entries)


def test_all_lanes_are_one_unit(tmp_path):
    emitter = Emitter(tmp_path)
    emitter.module(Drain(Shape(), LATENCY), "drain")
    assert {"packer.v", "rescaler_36.v"} < set(emitter.files)
    assert len(emitter.files) == 9
