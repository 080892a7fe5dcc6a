# amaranth: UnusedElaboratable=no
"""Lanes of every size that networks use, against integer dot products."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from gen.bits import BIPOLAR, Powers, Values, pack
from gen.hw.lanes import MultiplyLane, ShiftLane, SignLane
from gen.hw.popcount import XnorLane
from gen.network import MULTIPLIERS

from .integers import random_powers
from .streams import PERIOD

TERNARY = Values(-1, 1)


def check(lane, values, weights, simd, *, padded=False, count=30):
    """Feed vectors, full-scale ones among them, one a clock; compare ``gain * sum + offset`` with the dot product."""
    rng = np.random.default_rng(simd)
    x = rng.integers(0, values.levels, (count, simd)) * values.step + values.lo
    w = random_powers(rng, (count, simd), weights) if isinstance(weights, Powers) else (
        rng.integers(0, weights.levels, (count, simd)) * weights.step + weights.lo)
    x[:4], w[:2], w[2:4] = [[values.lo], [values.hi]] * 2, weights.lo, weights.hi
    pad = rng.random(count) < 0.3 if padded else np.zeros(count, bool)
    expected = np.where(pad, 0, (x * w).sum(1))
    words = zip(pack(values.encode(x), values.bits), pack(weights.encode(w), weights.bits), pad, strict=True)
    found = []

    async def bench(ctx):
        for x_word, w_word, pad_bit in words:
            ctx.set(lane.x, x_word)
            ctx.set(lane.w, w_word)
            if padded:
                ctx.set(lane.pad, int(pad_bit))
            await ctx.tick()
            found.append(ctx.get(lane.sum))
        for _ in range(lane.latency - 1):
            await ctx.tick()
            found.append(ctx.get(lane.sum))

    sim = Simulator(lane)
    sim.add_clock(PERIOD)
    sim.add_testbench(bench)
    sim.run()
    offsets = np.array(lane.offsets(w))
    assert (lane.gain * np.array(found[lane.latency - 1:]) + offsets).tolist() == expected.tolist()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("simd", [*range(1, 40), 63, 64, 65, 128, 144, 256, 512, 576])
def test_xnor(simd, padded):
    check(XnorLane(simd, padded), BIPOLAR, BIPOLAR, simd, padded=padded)


def test_xnor_exhaustively():
    """Every pattern of nine bits: all kinds of compressors."""
    lane, found = XnorLane(9), []

    async def bench(ctx):
        for x in range(512):
            ctx.set(lane.x, x)
            ctx.set(lane.w, 0b101010101)
            await ctx.tick()
            found.append(ctx.get(lane.sum))
        for _ in range(lane.latency - 1):
            await ctx.tick()
            found.append(ctx.get(lane.sum))

    sim = Simulator(lane)
    sim.add_clock(PERIOD)
    sim.add_testbench(bench)
    sim.run()
    assert found[lane.latency - 1:] == [9 - (x ^ 0b101010101).bit_count() for x in range(512)]


@pytest.mark.parametrize("values", [Values(-128, 127), Values(0, 255), Values(0, 3), Values(-4, 3), Values(-3, 5)])
@pytest.mark.parametrize("simd", [1, 2, 3, 5, 9, 27])
def test_sign(simd, values):
    check(SignLane(simd, values), values, BIPOLAR, simd)


@pytest.mark.parametrize(("values", "weights"), [
    (Values(-128, 127), Values(-128, 127)), (Values(0, 255), Values(-128, 127)), (BIPOLAR, TERNARY),
    (BIPOLAR, Values(-8, 7)), (Values(1, 4), BIPOLAR), (Values(0, 3), TERNARY)])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("simd", [1, 2, 3, 8])
def test_multiply(simd, padded, values, weights):
    check(MultiplyLane(simd, values, weights, padded), values, weights, simd, padded=padded)


@pytest.mark.parametrize("values", [Values(0, 65535), Values(-32768, 32767), Values(0, 3), Values(-4, 3), Values(0, 1)])
@pytest.mark.parametrize("powers", [*map(Powers, [1, 2, 3, 4, 7, 15]), Powers(3, 2), Powers(7, 2)], ids=str)
@pytest.mark.parametrize("simd", [1, 2, 9])
def test_shift(simd, powers, values):
    check(ShiftLane(simd, values, powers), values, powers, simd)


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("values", [Values(0, 65535), Values(-128, 127), BIPOLAR])
@pytest.mark.parametrize("weights", [Values(-32768, 32767), Powers(3), Powers(4, 2)], ids=str)
def test_multipliers_that_were_asked_for(values, weights, padded, multiplier):
    check(MultiplyLane(3, values, weights, padded, multiplier), values, weights, 3, padded=padded)
