# amaranth: UnusedElaboratable=no
"""Pooling of several positions at once against maxima and sums of windows."""

import numpy as np
import pytest
from amaranth import Module

from gen.bits import BIPOLAR, Values, pack
from gen.hw.pool import Reduce
from gen.hw.stream import pipeline
from gen.hw.window import Window
from gen.network import Pool, Tensor

from . import integers, streams
from .test_window import beats

SOURCES = [BIPOLAR, Values(0, 1), Values(-1, 0), Values(0, 3), Values(-4, 3)]


def groups(output, pixels, simd):
    """Values of each payload of a tensor (rows, columns, channels), in stream order."""
    rows, columns, channels = output.shape
    cut = output.reshape(rows, columns // pixels, pixels, channels // simd, simd)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, pixels * simd)


def pooled(rng, layer, pixels, simd):
    """A random frame, and the payloads of its pool."""
    values = layer.input.values
    frame = rng.integers(0, values.levels, layer.input.shape) * values.step + values.lo
    result = groups(integers.compute(layer, frame), pixels, simd)
    return frame, pack(layer.output.values.encode(result), layer.output.values.bits)


@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("pixels", [1, 2, 6])
def test_pool_behind_its_window(kind, source, pixels):
    """Windows without overlap; all of a group of positions is given at once."""
    layer = Pool("pool", Tensor(6, 12, 4, source), kernel=(2, 2), stride=(2, 2), kind=kind)
    rng = np.random.default_rng(pixels)
    for simd, stall in ((1, 0), (4, 0.4)):
        frames = [pooled(rng, layer, pixels, simd) for _ in range(2)]
        payloads = [word for frame, _ in frames for word in beats(source.encode(frame), 2 * pixels, simd, source.bits)]
        result = [word for _, words in frames for word in words]
        m = Module()
        m.submodules.window = window = Window(layer, simd=simd, pixels=pixels, given=2 * pixels, pad_code=0)
        m.submodules.reduce = reduce = Reduce(layer, simd=simd, pixels=pixels)
        pipeline(m, window.o, sink=reduce.i)
        assert streams.exchange(m, [(window.i, payloads)], [(reduce.o, len(result))], stall=stall) == [result]


@pytest.mark.parametrize("pixels", [1, 2, 4])
def test_flagged_positions_add_nothing(pixels):
    """Each position has a flag of its own, whatever its channels hold."""
    layer = Pool("pool", Tensor(5, 4, 6, BIPOLAR), kernel=(3, 3), pads=(1, 1, 1, 1), kind="sum")
    rng = np.random.default_rng(3)
    frame, result = pooled(rng, layer, pixels, 3)
    taps = integers.windows(frame, layer, 9)
    rows, columns, height, width, channels = taps.shape
    cut = taps.reshape(rows, columns // pixels, pixels, height, width, channels // 3, 3)
    cut = cut.transpose(0, 1, 5, 3, 4, 2, 6).reshape(-1, pixels, 3)
    outside = cut[:, :, 0] == 9
    codes = np.where(outside[..., None], rng.integers(0, 2, cut.shape), BIPOLAR.encode(cut))
    payloads = pack(np.concatenate([codes.reshape(len(codes), -1), outside], axis=1), 1)
    dut = Reduce(layer, simd=3, pixels=pixels, flagged=True)
    assert streams.run(dut, payloads, len(result), stall=0.5) == result


def test_one_tap_a_clock():
    layer = Pool("pool", Tensor(4, 8, 2, BIPOLAR), kernel=(2, 2), stride=(2, 2))
    dut = Reduce(layer, simd=2, pixels=4)
    streams.run(dut, [0] * 400, 100, limit=410)


def test_names_tell_positions_from_channels():
    layer = Pool("pool", Tensor(4, 8, 4, BIPOLAR), kernel=(2, 2), stride=(2, 2))
    shapes = [(1, 4), (4, 1), (2, 2), (4, 4)]
    assert len({Reduce(layer, simd=simd, pixels=pixels).unit_name for simd, pixels in shapes}) == len(shapes)
