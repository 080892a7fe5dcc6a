# amaranth: UnusedElaboratable=no
"""Sliding windows of any geometry against slices of the padded image."""

import math

import numpy as np
import pytest

from gen.bits import BIPOLAR, Values, pack
from gen.buffers import schedule
from gen.hw import window
from gen.hw.window import Window
from gen.network import Conv, Pool, Tensor

from . import integers, streams

NIBBLE = Values(0, 15)
PAD = 5


def sliding(tensor, kernel, stride=(1, 1), pads=(0, 0, 0, 0), conv=False):
    """A pool, or a convolution, which has the same window."""
    if not conv:
        return Pool("pool", tensor, kernel=kernel, stride=stride, pads=pads)
    return Conv("conv", tensor, weights=np.ones((2, tensor.channels, *kernel), np.int8), stride=stride, pads=pads)


def random_layer(rng, sizes=(1, 8), kernels=(1, 4)):
    """A random geometry whose window fits."""
    while True:
        height, width = (int(n) for n in rng.integers(*sizes, 2))
        channels = int(rng.choice([1, 2, 3, 4, 6]))
        kernel, stride = (tuple(int(n) for n in rng.integers(*range_, 2)) for range_ in (kernels, (1, 4)))
        pads = tuple(int(n) for n in rng.integers(0, 3, 4))
        try:
            return sliding(Tensor(height, width, channels, NIBBLE), kernel, stride, pads, conv=bool(rng.integers(2)))
        except ValueError:
            continue


def divisors(number):
    return [d for d in range(1, number + 1) if number % d == 0]


def random_case(seed):
    """A random geometry: (layer, simd, pixels, repeat)."""
    rng = np.random.default_rng(seed)
    layer = random_layer(rng)
    choices = [int(rng.choice(divisors(n))) for n in (layer.input.channels, layer.output.width)]
    return layer, *choices, int(rng.integers(1, 3))


def beats(frame, given, simd, bits=4):
    """The input for one frame: row by row, for each ``given`` columns all groups of channels."""
    height, width, channels = frame.shape
    groups = frame.reshape(height, width // given, given, channels // simd, simd)
    return pack(groups.transpose(0, 1, 3, 2, 4).reshape(-1, given * simd), bits)


def expected(frame, layer, simd, pixels, repeat):
    """Payloads for one frame."""
    taps = integers.windows(frame, layer, PAD)
    rows, columns, height, width, channels = taps.shape
    groups = taps.reshape(rows, columns // pixels, pixels, height, width, channels // simd, simd)
    beats = groups.transpose(0, 1, 5, 3, 4, 2, 6).reshape(rows, columns // pixels, -1, pixels * simd)
    return pack(np.repeat(beats[:, :, None], repeat, axis=2).reshape(-1, pixels * simd), 4)


def image_rows(frame, layer, simd, repeat):
    """Image rows that whole-row payloads hold: (values of the row's columns, or None outside the image) each."""
    height, _, channels = frame.shape
    for y in range(layer.output.height):
        for _ in range(repeat):
            for group in range(0, channels, simd):
                for tap in range(layer.kernel[0]):
                    line = y * layer.stride[0] - layer.pads[0] + tap
                    yield frame[line, :, group:group + simd].reshape(-1) if 0 <= line < height else None


def compare_rows(dut, frames, given, *, bits=4, stall=0.0, limit=40_000):
    """Whole rows out of ``dut``, padding replaced or flagged (and then anything) against the image's."""
    layer = dut.layer
    payloads = [word for frame in frames for word in beats(frame, given, dut.simd, bits)]
    wanted = [row for frame in frames for row in image_rows(frame, layer, dut.simd, dut.repeat)]
    width = layer.input.width * dut.simd * bits
    blank = pack(np.full((1, layer.input.width * dut.simd), dut.pad_code or 0), bits)[0]
    for word, row in zip(streams.run(dut, payloads, len(wanted), stall=stall, limit=limit), wanted, strict=True):
        flag, data = word >> width, word & (1 << width) - 1
        assert flag == (dut.flagged and row is None)
        if row is not None:
            assert data == pack(row[None], bits)[0]
        elif not dut.flagged:
            assert data == blank


def row_case(seed):
    """A random window of whole rows: (layer, simd, repeat)."""
    rng = np.random.default_rng(seed)
    layer = random_layer(rng, sizes=(1, 10), kernels=(1, 6))
    while layer.kernel[1] == 1:
        layer = random_layer(rng, sizes=(1, 10), kernels=(1, 6))
    return layer, int(rng.choice(divisors(layer.input.channels))), int(rng.integers(1, 4))


@pytest.mark.parametrize("seed", range(40))
def test_window_gives_the_taps_of_every_position(seed):
    layer, simd, pixels, repeat = random_case(seed)
    rng = np.random.default_rng(seed)
    frames = [rng.integers(0, 16, layer.input.shape) for _ in range(3)]
    result = [word for frame in frames for word in expected(frame, layer, simd, pixels, repeat)]
    for given in divisors(math.gcd(layer.input.width, pixels * layer.stride[1])):
        payloads = [word for frame in frames for word in beats(frame, given, simd)]
        for stall in (0, 0.5):
            dut = Window(layer, simd=simd, pixels=pixels, given=given, repeat=repeat, pad_code=PAD)
            assert streams.run(dut, payloads, len(result), stall=stall, limit=20_000) == result


@pytest.mark.parametrize(("layer", "simd", "pixels", "given"), [
    (sliding(Tensor(8, 32, 8, NIBBLE), (3, 3), pads=(1, 1, 1, 1), conv=True), 4, 32, 32),
    (sliding(Tensor(8, 32, 8, NIBBLE), (3, 3), pads=(1, 1, 1, 1), conv=True), 8, 8, 4),
    (sliding(Tensor(8, 32, 4, NIBBLE), (2, 2), stride=(2, 2)), 2, 16, 32),
    (sliding(Tensor(8, 32, 4, NIBBLE), (2, 2), stride=(2, 2)), 4, 8, 8),
    (sliding(Tensor(6, 30, 4, NIBBLE), (3, 3), stride=(1, 2), pads=(0, 1, 2, 1), conv=True), 4, 5, 10),
    (sliding(Tensor(5, 15, 4, NIBBLE), (3, 3), stride=(1, 2), pads=(0, 1, 2, 1), conv=True), 4, 8, 1),
])
def test_many_positions_come_and_go_at_once(layer, simd, pixels, given):
    frames = [np.random.default_rng(k).integers(0, 16, layer.input.shape) for k in range(2)]
    payloads = [word for frame in frames for word in beats(frame, given, simd)]
    result = [word for frame in frames for word in expected(frame, layer, simd, pixels, 2)]
    for stall in (0, 0.5):
        dut = Window(layer, simd=simd, pixels=pixels, given=given, repeat=2, pad_code=PAD)
        assert streams.run(dut, payloads, len(result), stall=stall, limit=20_000) == result


@pytest.mark.parametrize("seed", range(60))
def test_whole_rows(seed):
    layer, simd, repeat = row_case(seed)
    rng = np.random.default_rng(seed)
    frames = [rng.integers(0, 16, layer.input.shape) for _ in range(3)]
    for given in divisors(layer.input.width):
        for stall, pad_code in ((0, PAD), (0.5, None), (0.5, PAD)):
            dut = Window(layer, simd=simd, pixels=layer.output.width, taps=layer.kernel[1], given=given, repeat=repeat,
                         pad_code=pad_code)
            compare_rows(dut, frames, given, stall=stall)


@pytest.mark.parametrize(("size", "channels", "simd", "given", "repeat"), [
    (32, 64, 64, 32, 1), (32, 64, 64, 1, 11), (16, 128, 64, 16, 2), (8, 256, 256, 8, 1), (4, 512, 128, 2, 4),
    (4, 512, 512, 4, 8)])
def test_whole_rows_of_large_layers(size, channels, simd, given, repeat):
    layer = sliding(Tensor(size, size, channels, BIPOLAR), (3, 3), pads=(1, 1, 1, 1), conv=True)
    frames = [np.random.default_rng(k).integers(0, 2, layer.input.shape) for k in range(2)]
    dut = Window(layer, simd=simd, pixels=size, taps=3, given=given, repeat=repeat)
    compare_rows(dut, frames, given, bits=1, stall=0.3)


def test_padding_can_be_flagged():
    layer = sliding(Tensor(1, 2, 1, NIBBLE), (1, 3), pads=(0, 1, 0, 1))
    dut = Window(layer, simd=1)
    flags = [word >> 4 for word in streams.run(dut, [3, 4], 6)]
    assert flags == [1, 0, 0, 0, 0, 1]


def test_padding_columns_are_no_part_of_whole_rows():
    layer = sliding(Tensor(1, 2, 1, NIBBLE), (1, 3), pads=(0, 1, 0, 1))
    dut = Window(layer, simd=1, pixels=2, taps=3)
    assert not dut.flags
    assert streams.run(dut, [3, 4], 1) == [0x43]


@pytest.mark.parametrize("given", [1, 2, 6])
def test_full_rate_over_frames(given):
    """Where the window is the slower side, it never pauses: not between rows, not between frames."""
    layer = sliding(Tensor(6, 6, 2, NIBBLE), (3, 3), pads=(1, 1, 1, 1))
    dut = Window(layer, simd=2, pixels=given, given=given, pad_code=0)
    count = 10 * 36 * 9 // given
    streams.run(dut, [0] * (360 // given), count, limit=count + 40)


@pytest.mark.parametrize(("given", "repeat", "pad_code"), [(1, 2, None), (2, 1, None), (3, 1, 0), (6, 1, None)])
def test_whole_rows_come_at_full_rate(given, repeat, pad_code):
    layer = sliding(Tensor(6, 6, 2, NIBBLE), (3, 3), pads=(1, 1, 1, 1))
    dut = Window(layer, simd=1, pixels=6, taps=3, given=given, repeat=repeat, pad_code=pad_code)
    count = 20 * 6 * repeat * 2 * 3
    streams.run(dut, [0] * (20 * 72 // given), count, limit=count + 40)


@pytest.mark.parametrize("taps", [1, 3])
def test_a_row_released_too_early_is_noticed(taps, monkeypatch):
    def early(layer):
        needs, releases = schedule(layer)
        return needs, [releases[0] + 1, *releases[1:-1], releases[-1] - 1]

    monkeypatch.setattr(window, "schedule", early)
    layer = sliding(Tensor(6, 6, 2, NIBBLE), (3, 3), pads=(1, 1, 1, 1))
    frames = [np.random.default_rng(k).integers(0, 16, layer.input.shape) for k in range(2)]
    with pytest.raises((AssertionError, TimeoutError)):
        if taps > 1:
            compare_rows(Window(layer, simd=2, pixels=6, taps=3, given=6, pad_code=PAD), frames, 6, limit=2000)
        else:
            result = [word for frame in frames for word in expected(frame, layer, 2, 6, 1)]
            payloads = [word for frame in frames for word in beats(frame, 6, 2)]
            dut = Window(layer, simd=2, pixels=6, given=6, pad_code=PAD)
            assert streams.run(dut, payloads, len(result), limit=2000) == result


def test_equal_names_mean_equal_windows():
    layer = sliding(Tensor(6, 6, 6, NIBBLE), (3, 3), pads=(1, 1, 1, 1))
    plain = {"simd": 2, "pixels": 6}
    changes = [{}, {"simd": 3}, {"pixels": 3}, {"taps": 3}, {"given": 2}, {"repeat": 2}, {"pad_code": 1}, {"rows": 5}]
    assert len({Window(layer, **(plain | change)).unit_name for change in changes}) == len(changes)


@pytest.mark.parametrize(("options", "found"), [
    ({"simd": 4}, "simd 4 does not divide"), ({"pixels": 4}, "pixels 4 does not divide"),
    ({"pixels": 5, "taps": 3}, "taps 3 is neither 1 nor"), ({"taps": 2}, "pixels 1 is not the output width"),
    ({"pixels": 5, "given": 2}, "given 2 does not divide"), ({"given": 2}, "given 2 does not divide"),
    ({"pixels": 5, "taps": 2, "given": 5}, "given 5 does not divide")])
def test_folding_must_divide(options, found):
    layer = sliding(Tensor(6, 6, 6, NIBBLE), (2, 2))
    with pytest.raises(ValueError, match=found):
        Window(layer, **({"simd": 1} | options), pad_code=0)
