# amaranth: UnusedElaboratable=no
"""Width converters against the tensor cut into groups of channels."""

import math

import numpy as np
import pytest
from amaranth import Module

from gen.bits import pack
from gen.hw.stream import Gather, Split, convert, pipeline

from . import streams

CHANNELS = 12


def payloads(tensor, pixels, lanes, bits):
    """Payloads of values (positions, channels): for each ``pixels`` positions every ``lanes`` channels."""
    cut = tensor.reshape(-1, pixels, CHANNELS // lanes, lanes).transpose(0, 2, 1, 3)
    return pack(cut.reshape(-1, pixels * lanes), bits)


def converted(words, count, bits, given, taken, pixels, **options):
    """What the converter makes of ``words``."""
    m, units = Module(), convert(bits, given, taken, pixels)
    for number, unit in enumerate(units):
        m.submodules[f"unit{number}"] = unit
    if len(units) > 1:
        pipeline(m, units[0].o, *units[1:-1], sink=units[-1].i)
    (received,) = streams.exchange(m, [(units[0].i, words)], [(units[-1].o, count)], **options)
    return received


@pytest.mark.parametrize("given", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("taken", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_channels_are_joined_and_split_at_each_position(given, taken, pixels):
    units = convert(3, given, taken, pixels)
    if given == taken:
        assert units == []
        return
    assert len(units[0].i.payload) == pixels * given * 3
    assert len(units[-1].o.payload) == pixels * taken * 3
    tensor = np.random.default_rng(given).integers(0, 8, (20, CHANNELS))
    result = payloads(tensor, pixels, taken, 3)
    for stall in (0, 0.5):
        assert converted(payloads(tensor, pixels, given, 3), len(result), 3, given, taken, pixels,
                         stall=stall) == result


@pytest.mark.parametrize(("given", "taken"), [(1, 4), (4, 1), (2, 3), (3, 2), (16, 64), (64, 16)])
@pytest.mark.parametrize("pixels", [1, 4])
def test_the_narrower_side_never_pauses(given, taken, pixels):
    joined = math.lcm(given, taken)
    words = 30 * joined // given
    count = 30 * joined // taken
    converted([0] * words, count, 1, given, taken, pixels, limit=max(words, count) + 2 * joined // min(given, taken))


def test_one_position_is_a_unit_as_ever():
    assert [unit.unit_name for unit in convert(2, 2, 3)] == ["gather_4x3", "buffer_12", "split_6x2"]
    assert [unit.unit_name for unit in convert(2, 2, 3, 4)] == ["gather_4x3x4", "buffer_48", "split_6x2x4"]


@pytest.mark.parametrize("unit", [Gather, Split])
def test_names_tell_positions_from_bits(unit):
    assert len({unit(*sizes).unit_name for sizes in ((4, 2), (2, 2, 2), (2, 4), (2, 2, 4), (1, 4, 2))}) == 5
