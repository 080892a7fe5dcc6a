# amaranth: UnusedElaboratable=no
"""Pooling of several positions at once, behind a window or without one, against maxima and sums of windows."""

import numpy as np
import pytest
from amaranth import Assert, Module

from gen.bits import BIPOLAR, Values, pack
from gen.hw import pool
from gen.hw.memory import Ram
from gen.hw.pool import BlockPool, Reduce
from gen.hw.stream import pipeline
from gen.hw.window import Window
from gen.network import Pool, Tensor

from . import integers, streams
from .test_window import beats

# (height, width, channels), kernel, channels a payload, positions a payload: of a block a part, one, or several;
# lines in registers, in memory, in memory whose word comes again at once; rows and columns that are left over
BLOCKS = [
    ((4, 4, 2), (2, 2), 2, 4), ((4, 4, 4), (2, 2), 2, 4), ((4, 4, 6), (2, 2), 2, 4), ((4, 8, 4), (2, 2), 2, 2),
    ((4, 8, 3), (2, 2), 3, 1), ((4, 8, 6), (2, 2), 3, 1), ((4, 4, 2), (2, 2), 2, 1), ((4, 6, 3), (2, 2), 1, 1),
    ((8, 8, 6), (4, 4), 2, 2), ((8, 8, 2), (4, 4), 2, 8), ((4, 12, 4), (2, 4), 2, 2), ((6, 6, 4), (3, 1), 2, 3),
    ((3, 6, 4), (1, 3), 4, 3), ((3, 6, 4), (1, 3), 4, 1), ((3, 6, 4), (1, 1), 2, 2),
    ((4, 4, 6), (4, 4), 1, 4), ((4, 4, 6), (4, 4), 6, 1), ((4, 4, 2), (4, 4), 2, 4), ((4, 4, 2), (4, 4), 1, 2),
    ((5, 7, 2), (2, 2), 1, 1), ((5, 7, 2), (2, 2), 1, 7), ((5, 7, 2), (3, 3), 2, 1), ((7, 4, 2), (3, 2), 1, 4),
    ((4, 7, 2), (2, 7), 2, 1), ((5, 6, 2), (5, 4), 2, 2), ((5, 6, 2), (3, 4), 1, 6)]

SOURCES = [BIPOLAR, Values(0, 1), Values(-1, 0), Values(0, 3), Values(-4, 3)]


def groups(output, pixels, simd):
    """Values of each payload of a tensor (rows, columns, channels), in stream order."""
    rows, columns, channels = output.shape
    cut = output.reshape(rows, columns // pixels, pixels, channels // simd, simd)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, pixels * simd)


def pooled(rng, layer, pixels, simd):
    """A random frame, and the payloads of its pool; of maxima about as many are low as high."""
    values = layer.input.values
    frame = rng.integers(0, values.levels, layer.input.shape) * values.step + values.lo
    if layer.kind == "max":
        frame[rng.random(frame.shape) > 1.5 / np.prod(layer.kernel)] = values.lo
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


class CheckedRam(Ram):
    """Holds its users to what hardware demands of them."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = super().elaborate(platform)
        m.d.sync += Assert(~(self.write.en & self.read.en & (self.write.addr == self.read.addr)))
        return m


def block_pool(rng, shape, kernel, simd, given, *, source=BIPOLAR, kind="max", frames=2):
    """A pool without a window, payloads of random frames, and of what is pooled of them."""
    layer = Pool("pool", Tensor(*shape, source), kernel=kernel, stride=kernel, kind=kind)
    dut = BlockPool(layer, simd=simd, given=given)
    found = [pooled(rng, layer, dut.pixels, simd) for _ in range(frames)]
    payloads = [word for frame, _ in found for word in beats(source.encode(frame), given, simd, source.bits)]
    return dut, payloads, [word for _, words in found for word in words]


@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_blocks(kind, source, monkeypatch):
    monkeypatch.setattr(pool, "Ram", CheckedRam)
    rng = np.random.default_rng(5)
    for number, case in enumerate(BLOCKS):
        dut, payloads, result = block_pool(rng, *case, source=source, kind=kind)
        assert streams.run(dut, payloads, len(result), stall=0.4, seed=number) == result, case


@pytest.mark.parametrize("case", [
    ((32, 32, 64), (2, 2), 64, 32), ((32, 32, 64), (2, 2), 2, 32), ((32, 32, 64), (2, 2), 4, 16),
    ((16, 16, 128), (2, 2), 2, 16), ((32, 32, 64), (2, 2), 4, 8), ((32, 32, 64), (2, 2), 64, 1),
    ((4, 4, 512), (4, 4), 4, 4), ((5, 7, 4), (2, 2), 2, 1)], ids=str)
@pytest.mark.parametrize("kind", ["max", "sum"])
def test_blocks_come_at_a_payload_a_clock(case, kind):
    """Those of the networks, as fast as can be, and whatever may have to wait."""
    dut, payloads, result = block_pool(np.random.default_rng(8), *case, kind=kind, frames=1)
    assert streams.run(dut, payloads, len(result), limit=len(payloads) + 8) == result


def test_blocks_wait_for_whoever_takes_them():
    dut, payloads, result = block_pool(np.random.default_rng(9), (32, 32, 64), (2, 2), 64, 32)
    assert streams.run(dut, payloads, len(result), stall=0.6) == result


@pytest.mark.parametrize("case", [
    ((4, 4, 6), (2, 2), 2, 4), ((4, 8, 3), (2, 2), 3, 1), ((4, 4, 2), (2, 2), 2, 4)], ids=str)
def test_line_that_is_wrong_is_found(case, monkeypatch):
    """Of which each step changes what another one has kept."""
    line = BlockPool._line
    monkeypatch.setattr(BlockPool, "_line", lambda self, m, step, word, loops: line(self, m, step, word, loops)[::-1])
    dut, payloads, result = block_pool(np.random.default_rng(1), *case)
    assert streams.run(dut, payloads, len(result)) != result


@pytest.mark.parametrize("given, simd", [(3, 4), (4, 3), (8, 4), (5, 4)])
def test_blocks_that_payloads_do_not_fit(given, simd):
    layer = Pool("pool", Tensor(4, 12, 4, BIPOLAR), kernel=(2, 2), stride=(2, 2))
    with pytest.raises(ValueError, match="divide"):
        BlockPool(layer, simd=simd, given=given)


@pytest.mark.parametrize("options", [{"stride": (1, 2)}, {"stride": (2, 2), "pads": (1, 0, 1, 0)}], ids=str)
def test_windows_that_are_no_blocks(options):
    with pytest.raises(ValueError, match="blocks"):
        BlockPool(Pool("pool", Tensor(4, 4, 4, BIPOLAR), kernel=(2, 2), **options), simd=4)


def test_names_tell_block_pools_apart():
    units = [block_pool(np.random.default_rng(0), *case, frames=0, source=source, kind=kind)[0]
             for case in BLOCKS for source in SOURCES for kind in ("max", "sum")]
    assert len({unit.unit_name for unit in units}) == len(units)
