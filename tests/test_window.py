# amaranth: UnusedElaboratable=no
"""Sliding windows of any geometry against slices of the padded image."""

import numpy as np
import pytest

from gen.bits import Values, pack
from gen.hw.window import Window
from gen.network import Pool, Tensor

from . import integers, streams

NIBBLE = Values(0, 15)


def random_case(seed):
    """A random geometry: (layer, simd, pixels, repeat)."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 8, 2))
    channels = int(rng.choice([1, 2, 3, 4, 6]))
    kernel, stride = (tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in range(2))
    pads = tuple(int(n) for n in rng.integers(0, 3, 4))
    try:
        layer = Pool("pool", Tensor(height, width, channels, NIBBLE), stride=stride, pads=pads, kernel=kernel)
    except ValueError:  # the window does not fit
        return random_case(seed + 1000)
    divisors = [[d for d in range(1, n + 1) if n % d == 0] for n in (channels, layer.output.width)]
    return layer, *(int(rng.choice(d)) for d in divisors), int(rng.integers(1, 3))


def expected(frame, layer, simd, pixels, repeat):
    """Payloads for one frame."""
    taps = integers.windows(frame, layer, 5)
    rows, columns, height, width, channels = taps.shape
    groups = taps.reshape(rows, columns // pixels, pixels, height, width, channels // simd, simd)
    beats = groups.transpose(0, 1, 5, 3, 4, 2, 6).reshape(rows, columns // pixels, -1, pixels * simd)
    return pack(np.repeat(beats[:, :, None], repeat, axis=2).reshape(-1, pixels * simd), 4)


@pytest.mark.parametrize("seed", range(40))
def test_window_gives_the_taps_of_every_position(seed):
    layer, simd, pixels, repeat = random_case(seed)
    rng = np.random.default_rng(seed)
    frames = [rng.integers(0, 16, layer.input.shape) for _ in range(3)]
    beats = [word for frame in frames for word in pack(frame.reshape(-1, simd), 4)]
    result = [word for frame in frames for word in expected(frame, layer, simd, pixels, repeat)]
    for stall in (0, 0.5):
        dut = Window(layer, simd=simd, pixels=pixels, repeat=repeat, pad_code=5)
        assert streams.run(dut, beats, len(result), stall=stall, limit=20_000) == result


def test_padding_can_be_flagged():
    layer = Pool("pool", Tensor(1, 2, 1, NIBBLE), kernel=(1, 3), stride=(1, 1), pads=(0, 1, 0, 1))
    dut = Window(layer, simd=1)
    flags = [word >> 4 for word in streams.run(dut, [3, 4], 6)]
    assert flags == [1, 0, 0, 0, 0, 1]


def test_full_rate_over_frames():
    """Where the window is the slower side, it never pauses: not between rows, not between frames."""
    layer = Pool("pool", Tensor(6, 6, 2, NIBBLE), kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1))
    dut, count = Window(layer, simd=2, pad_code=0), 10 * 36 * 9
    streams.run(dut, [0] * 360, count, limit=count + 40)


@pytest.mark.parametrize(("simd", "pixels", "found"), [(4, 1, "simd 4"), (1, 4, "pixels 4")])
def test_folding_must_divide(simd, pixels, found):
    layer = Pool("pool", Tensor(6, 6, 6, NIBBLE))
    with pytest.raises(ValueError, match=f"{found} does not divide"):
        Window(layer, simd=simd, pixels=pixels, pad_code=0)
