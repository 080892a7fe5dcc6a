# amaranth: UnusedElaboratable=no
"""Lanes of every size that networks use, against integer dot products."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from gen.bits import BIPOLAR, Powers, Values, pack
from gen.hw.binary_lane import BinaryLane
from gen.hw.lanes import MultiplyLane, ShiftLane
from gen.network import MULTIPLIERS

from .integers import random_powers
from .streams import PERIOD

TERNARY = Values(-1, 1)


def check(lane, values, weights, simd, *, padded=False, count=30):
    """Feed vectors, full-scale ones among them, one a clock; compare ``gain * total + offset`` with the dot product."""
    rng = np.random.default_rng(simd)
    x = rng.integers(0, values.levels, (count, simd)) * values.step + values.lo
    w = random_powers(rng, (count, simd), weights) if isinstance(weights, Powers) else (
        rng.integers(0, weights.levels, (count, simd)) * weights.step + weights.lo)
    x[:4], w[:2], w[2:4] = [[values.lo], [values.hi]] * 2, weights.lo, weights.hi
    pad = rng.random(count) < 0.3 if padded else np.zeros(count, bool)
    expected = np.where(pad, 0, (x * w).sum(1))
    codes = [[lane.code(value) for value in vector] for vector in x]
    words = list(zip(pack(np.array(codes), values.bits), pack(weights.encode(w), weights.bits), strict=True))
    totals = np.array(replay(lane, words, pad.tolist() if padded else None))
    assert (lane.gain * totals + np.array(lane.offsets(w))).tolist() == expected.tolist()


def replay(lane, words, pad=None):
    """What the rows add up to for each word, one a clock; its ``pad`` comes ``pad_delay`` clocks after it."""
    found = []

    async def bench(ctx):
        for clock in range(len(words) + lane.latency - 1):
            ctx.set(lane.x, words[min(clock, len(words) - 1)][0])
            if "w" in lane.signature.members:
                ctx.set(lane.w, words[min(clock, len(words) - 1)][1])
            if pad:
                ctx.set(lane.pad, clock >= lane.pad_delay and [*pad, *[0] * lane.latency][clock - lane.pad_delay])
            await ctx.tick()
            found.append(sum(ctx.get(getattr(lane, row)) for row in lane.rows))

    sim = Simulator(lane)
    sim.add_clock(PERIOD)
    sim.add_testbench(bench)
    sim.run()
    return found[lane.latency - 1:]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("simd", [*range(1, 40), 63, 64, 65, 128, 144, 256, 512, 576])
def test_binary(simd, padded):
    lane = BinaryLane(simd, BIPOLAR, pad=padded, halves=padded and simd % 2 == 1)
    check(lane, BIPOLAR, BIPOLAR, simd, padded=padded)


@pytest.mark.parametrize(("simd", "missing"), [(3, 3), (64, 32), (54, 27)])
def test_binary_beyond_the_edge(simd, missing):
    """What is missing adds nothing to the dot product, also in whole words outside."""
    lane = BinaryLane(simd, BIPOLAR, pad=True, missing=missing, halves=missing % 2 == 1)
    rng = np.random.default_rng(simd)
    x, w = rng.integers(0, 2, (2, 40, simd))
    pad = (rng.random(40) < 0.3).tolist()
    totals = np.array(replay(lane, list(zip(pack(x, 1), pack(w, 1), strict=True)), pad))
    dots = np.where(pad, 0, ((2 * x - 1) * (2 * w - 1)).sum(1))
    assert (lane.gain * totals - simd - missing).tolist() == dots.tolist()


def test_binary_exhaustively():
    """Every pattern of nine bits: all kinds of compressors."""
    found = replay(BinaryLane(9, BIPOLAR), [(x, 0b101010101) for x in range(512)])
    assert found == [9 - (x ^ 0b101010101).bit_count() for x in range(512)]


@pytest.mark.parametrize("simd", [1, 2, 7, 48, 784])
def test_binary_wired(simd):
    """Where weights never change, agreements come."""
    lane, rng = BinaryLane(simd, BIPOLAR, wired=True), np.random.default_rng(simd)
    words = pack(rng.integers(0, 2, (30, simd)), 1)
    assert replay(lane, [(word, 0) for word in words]) == [word.bit_count() for word in words]


@pytest.mark.parametrize("values", [Values(-128, 127), Values(0, 255), Values(0, 3), Values(-4, 3), Values(-3, 5)])
@pytest.mark.parametrize("simd", [1, 2, 3, 5, 9, 27])
def test_signs(simd, values):
    check(BinaryLane(simd, values), values, BIPOLAR, simd)


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
