# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Shape, signed, unsigned

from gen.hw.topk import TopK

from . import streams


def best(scores, k):
    return sorted(range(len(scores)), key=lambda channel: -scores[channel])[:k]


def check(classes, shape, k, frames, **options):
    dut = TopK(classes, shape, k)
    expected = [channel for scores in frames for channel in best(scores, k)]
    received = streams.run(dut, [score for scores in frames for score in scores], len(expected), **options)
    assert received == expected


@pytest.mark.parametrize("stall", [0, 0.5])
@pytest.mark.parametrize(("classes", "shape", "k"), [
    (10, signed(6), 1), (10, signed(3), 5), (7, unsigned(2), 7), (5, signed(2), 2), (2, signed(9), 1),
    (1, signed(4), 1)])
def test_matches_stable_sort(classes, shape, k, stall):
    rng, shape = random.Random(classes), Shape.cast(shape)
    lo = -(1 << shape.width - 1) if shape.signed else 0
    frames = [[rng.randrange(lo, lo + (1 << shape.width)) for _ in range(classes)] for _ in range(20)]
    check(classes, shape, k, frames, stall=stall)


@pytest.mark.parametrize("scores", [
    [3, 3, 3, 3], [-8, -8, -8, -8], [-8, -8, -8, 7], [7, 0, -1, -8], [-8, -1, 0, 7], [0, 7, 0, 7]])
def test_ties_and_extremes(scores):
    check(4, signed(4), 3, [scores, scores[::-1]])


def test_frame_takes_classes_plus_k_cycles():
    check(4, signed(4), 2, [[1, 2, 3, 4]] * 10, limit=10 * (4 + 2) + 2)


@pytest.mark.parametrize("k", [0, 6])
def test_k_must_fit(k):
    with pytest.raises(ValueError, match=f"no {k} best of 5"):
        TopK(5, signed(4), k)
