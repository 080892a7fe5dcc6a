# amaranth: UnusedElaboratable=no
"""Accumulators with thresholds, against sums of plain integers."""

import random

import numpy as np
import pytest
from amaranth.lib.wiring import In

from gen.hw.accumulator import DspAccumulator, LutAccumulator, Totals
from gen.synth import measure

from .streams import simulate

# Bits of a row, most beats of a window.
SIZES = [(1, 1), (1, 9), (3, 9), (5, 1), (7, 36), (8, 18), (9, 4), (10, 1)]
BEYOND = 1 << 40


def greatest(form, bits):
    """What a beat can add: both rows at full scale, or, in LUTs, a popcount of no more bits than a row."""
    return ((1 << bits) - 1) * (2 if form is DspAccumulator else 1)


def totals_of(form, bits, beats, middle):
    """Totals of such windows, with any thresholds; or with those in the ``middle``, as trained ones are."""
    most = beats * greatest(form, bits)
    return Totals.against(most, [most * 3 // 8, most * 5 // 8] if middle else [-BEYOND, BEYOND])


def random_rows(form, rng, bits, beats):
    """Pairs of rows of one window; full scale and 0 as likely as others."""
    most, row = greatest(form, bits), (1 << bits) - 1
    pool = rng.choice([[0], [most], [0, most], range(most + 1)])
    counts = [rng.choice(pool) for _ in range(beats)]
    rows = [rng.randint(max(0, count - row), min(count, row)) for count in counts]
    return [(a, count - a) for a, count in zip(rows, counts, strict=True)]


def random_threshold(rng, totals, total):
    """At the total or beside it, anywhere, or beyond reach, as far as ``totals`` allow."""
    found = rng.choice([total, total + 1, rng.randint(totals.low, totals.high), totals.low, totals.high])
    if rng.random() < 0.2 and (totals.low, totals.high) == (0, totals.most + 1):
        return rng.choice([-BEYOND, -1, totals.most + 2, BEYOND])
    return min(max(found, totals.low), totals.high)


def random_windows(form, rng, bits, beats, totals, count=60):
    """Windows, each of a pair of elements, each of these pairs of rows and a threshold."""
    windows = []
    for length in rng.choices(range(1, beats + 1), k=count):
        rows = [random_rows(form, rng, bits, length) for _ in range(2)]
        windows.append([(pairs, random_threshold(rng, totals, sum(map(sum, pairs)))) for pairs in rows])
    return windows


def beats_of(dut, window):
    """Values of the inputs that matter in each beat of a window."""
    paired = isinstance(dut, DspAccumulator)
    for number in range(len(window[0][0])):
        beat = {"step": 1, "first": int(not number)}
        for k, (pairs, threshold) in enumerate(window if paired else window[:1]):
            name = str(k) * paired
            beat |= dict(zip((f"a{name}", f"b{name}"), pairs[number], strict=True))
            if not number:
                beat[f"start{name}"] = int(dut.totals.start_codes(threshold)) + (0 if paired else dut.totals.offset)
        yield beat


def script(dut, windows, rng, idle=0.3):
    """Clock by clock ``inputs``, noise wherever none matters, and the ``outputs`` that are due."""
    members = dut.signature.members
    widths = {name: len(getattr(dut, name)) for name, member in members.items() if member.flow == In}
    clocks, clock = [], 0

    def at(number):
        while len(clocks) <= number:
            noise = {name: rng.getrandbits(width) for name, width in widths.items()} | {"step": 0}
            clocks.append({"inputs": noise, "outputs": {}})
        return clocks[number]

    for window in windows:
        for beat in beats_of(dut, window):
            while rng.random() < idle:
                clock += 1
            for name, value in beat.items():
                delay = getattr(dut, f"{name.rstrip('01')}_delay", 0)
                at(clock + delay)["inputs"][name] = value
            clock += 1
        signs = [int(sum(map(sum, pairs)) >= threshold) for pairs, threshold in window]
        at(clock - 1 + dut.latency)["outputs"] |= (
            {"sign0": signs[0], "sign1": signs[1]} if "sign1" in members else {"sign": signs[0]})
    return clocks


def replay(dut, clocks):
    """Do in Amaranth's simulator what a script says."""

    async def bench(ctx):
        for number, clock in enumerate(clocks):
            for name, value in clock["inputs"].items():
                ctx.set(getattr(dut, name), value)
            found = await ctx.tick().sample(*(getattr(dut, name) for name in clock["outputs"]))
            assert list(found[2:]) == list(clock["outputs"].values()), f"clock {number}"

    simulate(dut, [bench], limit=2 * len(clocks) + 100)


@pytest.mark.parametrize("form", [DspAccumulator, LutAccumulator])
@pytest.mark.parametrize("middle", [False, True])
@pytest.mark.parametrize(("bits", "beats"), SIZES)
def test_activations(form, middle, bits, beats):
    rng = random.Random(f"{bits} {beats} {middle}")
    totals = totals_of(form, bits, beats, middle)
    windows = random_windows(form, rng, bits, beats, totals)
    for idle in (0, 0.4):
        dut = form(bits, totals)
        replay(dut, script(dut, windows, rng, idle))


@pytest.mark.parametrize("alone", [0, 1])
def test_one_element_alone(alone):
    totals, rng = totals_of(DspAccumulator, 7, 9, False), random.Random(alone)
    dut, windows = DspAccumulator(7, totals), random_windows(DspAccumulator, rng, 7, 9, totals)
    clocks, other = script(dut, windows, rng), 1 - alone
    for clock in clocks:
        clock["inputs"] |= dict.fromkeys((f"a{other}", f"b{other}", f"start{other}"), 0)
        clock["outputs"].pop(f"sign{other}", None)
    replay(dut, clocks)


@pytest.mark.parametrize("form", [DspAccumulator, LutAccumulator])
@pytest.mark.parametrize("error", [-1, 1])
def test_offset_that_is_wrong_is_found(form, error, monkeypatch):
    totals, rng = totals_of(form, 7, 9, True), random.Random(0)
    windows, offset = random_windows(form, rng, 7, 9, totals, count=300), totals.offset
    monkeypatch.setattr(Totals, "offset", offset + error)
    dut = form(7, totals)
    with pytest.raises(AssertionError, match="clock"):
        replay(dut, script(dut, windows, rng))


@pytest.mark.parametrize("delay", ["first_delay", "start_delay", "step_delay", "latency"])
def test_input_at_another_time_is_found(delay, monkeypatch):
    totals, rng = totals_of(DspAccumulator, 7, 9, False), random.Random(0)
    dut, windows = DspAccumulator(7, totals), random_windows(DspAccumulator, rng, 7, 9, totals)
    monkeypatch.setattr(DspAccumulator, delay, getattr(DspAccumulator, delay) - 1)
    with pytest.raises(AssertionError, match="clock"):
        replay(dut, script(dut, windows, rng))


def test_width_is_the_least_that_one_bit_tells():
    def tells(totals, bits, offset):
        differences = range(-totals.high, totals.most - totals.low + 1)
        return all(((d + offset) >> bits - 1 & 1) == (d >= 0) for d in differences)

    for most in range(9):
        for low in range(most + 2):
            for high in range(low, most + 2):
                totals = Totals(most, low, high)
                assert tells(totals, totals.bits, totals.offset + totals.high)
                assert totals.start_bits <= totals.bits
                for bits in range(1, totals.bits):
                    assert not any(tells(totals, bits, offset) for offset in range(1 << bits))


def test_start_codes():
    totals = Totals.against(100, [[-5, 30], [200, 50]])
    assert totals == Totals(100, 0, 101)
    assert totals.start_codes([[-5, 30], [200, 50]]).tolist() == [[101, 71], [0, 51]]
    trained = Totals.against(100, [40, 60])
    assert (trained.bits, trained.start_bits) == (7, 5)
    assert trained.start_codes(np.array([40, 60], np.int8)).tolist() == [20, 0]
    with pytest.raises(ValueError, match="thresholds from 39 to 61, not 40 to 60"):
        trained.start_codes([39, 61])
    with pytest.raises(ValueError, match="no such totals"):
        Totals(100, 0, 102)


def test_room_in_the_pre_adder():
    fits = Totals(4608, 0, 4609)
    assert DspAccumulator(11, fits).spacing == 14
    with pytest.raises(ValueError, match=r"two sums of 14 bits, with rows of 12 bits, take 27 bits of .*, not 26"):
        DspAccumulator(12, fits)
    assert DspAccumulator(12, Totals(2, 1, 1)).spacing == 12
    with pytest.raises(ValueError, match="take 27"):
        DspAccumulator(13, Totals(2, 1, 1))


def test_resources():
    totals = Totals(4608, 2000, 2600)
    dsp, luts = measure([DspAccumulator(7, totals), LutAccumulator(11, totals)])
    assert (dsp.lut, dsp.ff, dsp.dsp) == (0, 0, 1)
    assert totals.bits == 13
    assert max(luts.lut, luts.ff) <= 2 * totals.bits
    assert luts.dsp == 0
