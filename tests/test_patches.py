# amaranth: UnusedElaboratable=no
"""Windows joined from their taps, against plain lists."""

import random

import pytest

from gen.hw.patches import Patches

from .streams import run

SHAPES = [(1, 2, 1, 1), (3, 4, 1, 5), (3, 9, 2, 1), (8, 9, 3, 4), (2, 9, 1, 9), (5, 3, 4, 12)]


def case(width, taps, pixels, repeat, count=7):
    """A unit, payloads of taps, and the windows that are due."""
    rng = random.Random(taps)
    windows = [[[rng.getrandbits(width) for _ in range(taps)] for _ in range(pixels)] for _ in range(count)]
    payloads = [sum(window[p][t] << p * width for p in range(pixels)) for window in windows for t in range(taps)]
    whole = [sum(word << (p * taps + t) * width for p, words in enumerate(window) for t, word in enumerate(words))
             for window in windows]
    return Patches(width, taps=taps, pixels=pixels, repeat=repeat), payloads, [w for w in whole for _ in range(repeat)]


@pytest.mark.parametrize("stall", [0, 0.4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_windows(shape, stall):
    unit, payloads, expected = case(*shape)
    assert run(unit, payloads, len(expected), stall=stall, seed=3) == expected


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_window_comes_while_the_one_before_is_put_out(shape):
    _, taps, _, repeat = shape
    unit, payloads, expected = case(*shape)
    assert run(unit, payloads, len(expected), limit=7 * max(taps, repeat) + taps + repeat + 3) == expected
