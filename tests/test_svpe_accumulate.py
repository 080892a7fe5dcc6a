# amaranth: UnusedElaboratable=no
"""Accumulators of the array against plain integers, over random passes."""

import random

import pytest
from amaranth import Signal

from gen.emit import Emitter
from gen.hw.svpe import accumulate
from gen.hw.svpe.accumulate import Accumulators
from gen.svpe.shape import Shape

from .streams import simulate

SMALL = Shape(chains=2, lanes=4, drains=2, acc_bits=20, out_depth=16)


def passes(rng, shape, sum_bits, count):
    """Random passes: a list of slots, each with its token and the sums of all lanes; some clocks idle between."""
    low, high = -(1 << sum_bits - 1), (1 << sum_bits - 1) - 1
    slots = []
    for _ in range(count):
        length = rng.randint(8, shape.out_depth)
        first, last, base = rng.random() < 0.4, rng.random() < 0.5, rng.randint(0, shape.out_depth - length)
        for position in range(length):
            sums = [rng.choice([low, high, rng.randint(low, high)]) for _ in range(shape.lanes)]
            slots.append(({"slot": 1, "start": not position, "valid": rng.random() < 0.9, "first": first, "last": last,
                           "target": base + position, "end": position == length - 1}, sums))
        slots += [({"valid": 1, "last": rng.randint(0, 1), "target": rng.randrange(shape.out_depth)},
                   [high] * shape.lanes)] * rng.randint(0, 3)
    return slots


def expected(shape, slots):
    """(finished sums of every lane after all slots, how many passes end); accumulators are 0 at first."""
    half = 1 << shape.acc_bits - 1
    partial, complete = ([[0] * shape.out_depth for _ in range(shape.lanes)] for _ in range(2))
    for token, sums in slots:
        if token.get("slot") and token["valid"]:
            for lane, value in enumerate(sums):
                total = value + (0 if token["first"] else partial[lane][token["target"]])
                (complete if token["last"] else partial)[lane][token["target"]] = (total + half) % (2 * half) - half
    return complete, sum(token.get("end", 0) for token, _ in slots)


def rtl(shape, sum_bits, slots):
    """What the hardware has in its buffers after ``slots``, read group by group, and how many passes it says end."""
    dut = Accumulators(shape, sum_bits)
    groups = shape.lanes // shape.drains
    received, ends = [[None] * shape.out_depth for _ in range(shape.lanes)], []

    def unpacked(word):
        half = 1 << shape.acc_bits - 1
        return [((word >> k * shape.acc_bits) % (2 * half) + half) % (2 * half) - half for k in range(shape.drains)]

    async def feed(ctx):
        idle = [({}, [0] * shape.lanes)] * dut.lead
        for (token, _), (_, sums) in zip(slots + idle, idle + slots, strict=True):
            ctx.set(dut.token, token)
            ctx.set(dut.sums, sum((value % (1 << sum_bits)) << k * sum_bits for k, value in enumerate(sums)))
            await ctx.tick()
        ctx.set(dut.token, {})
        await ctx.tick().repeat(5)
        reads = [(group, place) for group in range(groups) for place in range(shape.out_depth)]
        for cycle in range(len(reads) + dut.read_latency):
            if cycle < len(reads):
                ctx.set(dut.read_group, reads[cycle][0])
                ctx.set(dut.read_address, reads[cycle][1])
            if cycle >= dut.read_latency:
                group, place = reads[cycle - dut.read_latency]
                for k, value in enumerate(unpacked(ctx.get(dut.finished))):
                    received[group * shape.drains + k][place] = value
            await ctx.tick()

    async def watch(ctx):
        while True:
            *_, done = await ctx.tick().sample(dut.done)
            ends.append(done)

    simulate(dut, [feed], [watch], limit=20_000)
    return received, sum(ends)


@pytest.mark.parametrize("shape, sum_bits", [
    (SMALL, 12), (SMALL, 20), (Shape(lanes=6, drains=6, acc_bits=9, out_depth=12), 5),
    (Shape(lanes=10, drains=2, acc_bits=12, out_depth=9), 8), (Shape(lanes=17, drains=1, acc_bits=8, out_depth=9), 8)])
def test_sums(shape, sum_bits):
    slots = passes(random.Random(1), shape, sum_bits, 30)
    assert rtl(shape, sum_bits, slots) == expected(shape, slots)


def test_default_shape():
    shape = Shape()
    slots = passes(random.Random(2), Shape(out_depth=64), 27, 4)
    received, ends = rtl(Shape(out_depth=64), 27, slots)
    assert (received, ends) == expected(Shape(out_depth=64), slots)
    assert Accumulators(shape, 27).read_latency == 4


def test_done_is_when_the_last_sum_can_be_read():
    dut = Accumulators(SMALL, 12)

    async def bench(ctx):
        ctx.set(dut.token, {"slot": 1, "valid": 1, "first": 1, "last": 1, "target": 3, "end": 1})
        await ctx.tick()
        ctx.set(dut.token, {})
        await ctx.tick()
        ctx.set(dut.sums, 77)
        await ctx.tick()
        ctx.set(dut.sums, 0)
        done = ctx.get(dut.done)
        while not done:
            await ctx.tick()
            done = ctx.get(dut.done)
        ctx.set(dut.read_address, 3)
        await ctx.tick().repeat(dut.read_latency)
        assert ctx.get(dut.finished) == 77

    simulate(dut, [bench])


def test_wide_sums_are_refused():
    with pytest.raises(ValueError, match="sums of 21 bits"):
        Accumulators(SMALL, 21)


def test_a_planted_bug_is_caught(monkeypatch):
    class Forgetful(accumulate.Accumulator):
        def elaborate(self, platform):
            self.begin = Signal()
            return super().elaborate(platform)

    monkeypatch.setattr(accumulate, "Accumulator", Forgetful)
    slots = passes(random.Random(3), SMALL, 12, 10)
    assert rtl(SMALL, 12, slots) != expected(SMALL, slots)


def test_all_lanes_are_one_unit(tmp_path):
    emitter = Emitter(tmp_path)
    emitter.module(Accumulators(Shape(), 27), "accumulators")
    assert sorted(emitter.files) == ["accumulator_1024x36_27.v", "accumulators.v", "ram.v"]
