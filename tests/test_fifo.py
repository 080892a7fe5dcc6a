"""The queue between units: order, depth and rate, whatever waits."""

import random

import pytest

from gen.hw.fifo import Fifo

from . import streams


@pytest.mark.parametrize("stall", [0, 0.3, 0.7])
@pytest.mark.parametrize("depth", [1, 2, 3, 16, 37])
def test_keeps_order(depth, stall):
    rng = random.Random(depth)
    payloads = [rng.getrandbits(12) for _ in range(40 + 4 * depth)]
    assert streams.run(Fifo(12, depth), payloads, len(payloads), stall=stall, seed=depth) == payloads


@pytest.mark.parametrize("depth", [3, 16])
def test_loses_no_cycle(depth):
    payloads = list(range(100))
    assert streams.run(Fifo(8, depth), payloads, len(payloads), limit=len(payloads) + 4) == payloads


@pytest.mark.parametrize("depth", [1, 2, 16, 37])
def test_holds_as_many_as_it_says(depth):
    dut, taken = Fifo(8, depth), []

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        for _ in range(2 * depth + 10):
            taken.append(ctx.get(dut.i.ready))
            await ctx.tick()

    streams.simulate(dut, [bench])
    assert sum(taken) == depth
