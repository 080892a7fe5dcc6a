# amaranth: UnusedElaboratable=no
"""Matrix units against sums of plain integers: signs and totals, single taps and whole rows."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from amaranth import Signal

from gen.bits import BIPOLAR, BIT, Powers, Values, pack
from gen.folding import Folding
from gen.hw.matrix_unit import MatrixUnit
from gen.network import Conv, Tensor, Threshold

from . import integers, streams

BYTES, NIBBLE = Values(-128, 127), Values(0, 15)
BEYOND = 1 << 40


@dataclass(frozen=True)
class Case:
    """A matrix unit, and the image that it looks at."""

    size: tuple  # height, width, channels of the image
    kernel: tuple
    outputs: int
    folding: Folding
    values: Values = BIPOLAR
    weights: Values = BIPOLAR
    pads: tuple = (0, 0, 0, 0)
    stride: tuple = (1, 1)
    pad_value: int = 0
    signs: bool = True
    multiplier: str = ""
    full_scale: bool = False

    def layer(self, rng):
        shape = self.outputs, self.size[2], *self.kernel
        if isinstance(self.weights, Powers):
            weights = integers.random_powers(rng, shape, self.weights)
        else:
            weights = rng.integers(0, self.weights.levels, shape) * self.weights.step + self.weights.lo
        if self.full_scale:
            weights[:1], weights[-1:] = self.weights.hi, self.weights.lo
        return Conv("conv", Tensor(*self.size, self.values), weights=weights, weight_values=self.weights,
                    pads=self.pads, stride=self.stride, pad_value=self.pad_value, multiplier=self.multiplier)

    def frames(self, rng, count):
        frames = rng.integers(0, self.values.levels, (count, *self.size)) * self.values.step + self.values.lo
        if self.full_scale:
            frames[0], frames[1] = self.values.hi, self.values.lo
        return frames


def threshold_of(layer, dots, rng):
    """Thresholds that some of ``dots`` (..., outputs) have just reached, or missed by one; some beyond reach."""
    flat = dots.reshape(-1, dots.shape[-1])
    limits = flat[rng.integers(0, len(flat), flat.shape[1]), np.arange(flat.shape[1])] + rng.integers(
        0, 2, flat.shape[1])
    if len(limits) > 2:
        limits[1], limits[2] = rng.permutation([-BEYOND, BEYOND])
    return Threshold("sign", layer.output, thresholds=limits[:, None], flip=np.zeros(len(limits), bool),
                     values=BIPOLAR)


def words(unit, frame):
    """Payloads that a window gives for a frame: taps in the lane's codes, flags on top."""
    layer, folding = unit.layer, unit.folding
    fill = 0 if unit.pad_code is None else layer.pad_value
    inside = np.ones((*frame.shape[:2], 1), int)
    taps, there = integers.windows(frame, layer, fill), integers.windows(inside, layer, 0)
    if folding.taps > 1:
        return list(whole_rows(unit, frame, fill))
    rows, columns, height, width, channels = taps.shape
    grouped = taps.reshape(rows, columns // folding.pixels, folding.pixels, height, width,
                           channels // folding.simd, folding.simd).transpose(0, 1, 5, 3, 4, 2, 6)
    away = 1 - there.reshape(rows, columns // folding.pixels, folding.pixels, height, width).transpose(0, 1, 3, 4, 2)
    away = np.broadcast_to(away[:, :, None], grouped.shape[:-1])
    beats = grouped.shape[2] * height * width
    data = pack(codes(unit, grouped).reshape(-1, folding.pixels * folding.simd), layer.input.values.bits)
    flags = pack(away.reshape(-1, folding.pixels), 1) if unit.flags else [0] * len(data)
    width = folding.pixels * unit.word
    made = [flag << width | word for word, flag in zip(data, flags, strict=True)]
    return [word for start in range(0, len(made), beats) for word in made[start:start + beats] * unit.folds]


def whole_rows(unit, frame, fill):
    """Payloads of whole image rows: for each output row, fold and group of channels all rows of the kernel."""
    layer, simd, (height, width, channels) = unit.layer, unit.folding.simd, frame.shape
    for y in range(layer.output.height):
        for _ in range(unit.folds):
            for group in range(0, channels, simd):
                for tap in range(layer.kernel[0]):
                    line = y * layer.stride[0] - layer.pads[0] + tap
                    outside = not 0 <= line < height
                    row = np.full((width, simd), fill) if outside else frame[line, :, group:group + simd]
                    word, = pack(codes(unit, row).reshape(1, -1), layer.input.values.bits)
                    yield int(outside and bool(unit.flags)) << width * unit.word | word


def codes(unit, values):
    """Codes of activations as the lane takes them: its least number is 0 for binary weights, if they are signed."""
    source = unit.layer.input.values
    if unit.layer.binary and source.signed:
        return values + (1 << source.bits - 1)
    return source.encode(values)


def payloads(unit, results, bits):
    """Results (rows, columns, outputs) as payloads, group of positions by group of positions, fold by fold."""
    rows, columns, outputs = results.shape
    pe, pixels = unit.folding.pe, unit.folding.pixels
    grouped = results.reshape(rows, columns // pixels, pixels, outputs // pe, pe).transpose(0, 1, 3, 2, 4)
    return pack(grouped.reshape(-1, pixels * pe), bits)


def prepared(case, seed=0, count=3, make=MatrixUnit, limits=None):
    """A matrix unit, payloads for it, and those that it has to give.

    ``limits``: thresholds of all outputs, in place of such as sort the activations.
    """
    rng = np.random.default_rng(seed)
    layer = case.layer(rng)
    frames = case.frames(rng, count)
    dots = np.stack([integers.compute(layer, frame) for frame in frames])
    sign = threshold_of(layer, dots, rng) if case.signs else None
    if limits:
        sign = replace(sign, thresholds=np.array(limits)[:, None])
    unit = make(layer, case.folding, threshold=sign, file="conv_matrix")
    given = [word for frame in frames for word in words(unit, frame)]
    if case.signs:
        reached = (dots >= sign.thresholds[:, 0]).astype(int)
        assert limits or len(np.unique(reached)) == 2
        return unit, given, [word for frame in reached for word in payloads(unit, frame, 1)]
    totals = (dots - unit.offsets()) // unit.lane.gain
    assert (totals * unit.lane.gain + unit.offsets() == dots).all()
    assert unit.total.lo <= totals.min() and totals.max() <= unit.total.hi
    return unit, given, [word for frame in totals for word in payloads(unit, unit.total.encode(frame), unit.total.bits)]


PADS = (1, 1, 1, 1)
CASES = {
    # taps one by one
    "one": Case((3, 4, 5), (3, 3), 4, Folding(2, 5)),
    "all_at_once": Case((2, 4, 6), (1, 1), 5, Folding(5, 6, 4)),  # a fold, a beat
    "folds": Case((2, 4, 6), (1, 1), 6, Folding(1, 6, 2)),
    "beats": Case((3, 3, 6), (3, 3), 3, Folding(3, 1, 1)),
    "flags": Case((4, 4, 4), (3, 3), 6, Folding(3, 2, 2), pads=PADS),
    "halves": Case((4, 4, 3), (3, 3), 6, Folding(3, 3, 4), pads=(2, 1, 0, 1)),
    "outside_is_one": Case((4, 4, 4), (3, 3), 4, Folding(2, 2, 2), pads=PADS, pad_value=1),
    "bytes": Case((5, 6, 3), (3, 3), 4, Folding(4, 3, 3), values=BYTES, pads=(1, 1, 1, 1), stride=(1, 1)),
    "bytes_full_scale": Case((3, 3, 3), (3, 3), 6, Folding(3, 3, 1), values=BYTES, full_scale=True),
    "nibbles": Case((3, 4, 4), (2, 3), 4, Folding(2, 2, 2), values=NIBBLE, pads=(0, 1, 0, 1)),
    "bits": Case((3, 4, 4), (2, 3), 4, Folding(2, 2, 2), values=BIT, pads=(1, 1, 1, 1)),
    "full_scale": Case((3, 3, 16), (3, 3), 4, Folding(2, 8, 1), full_scale=True),
    # whole rows
    "row": Case((4, 4, 4), (3, 3), 4, Folding(2, 2, 4, 3), pads=PADS),
    "row_halves": Case((4, 4, 3), (3, 3), 5, Folding(5, 1, 4, 3), pads=PADS),
    "row_odd": Case((3, 3, 6), (3, 3), 3, Folding(3, 3, 3, 3), pads=PADS),  # an odd number of lanes
    "row_of_one_beat": Case((2, 4, 4), (1, 3), 6, Folding(2, 4, 4, 3), pads=(0, 1, 0, 1)),
    "row_without_pads": Case((4, 6, 4), (3, 3), 4, Folding(4, 2, 4, 3)),
    "row_pads_aside": Case((4, 4, 4), (3, 3), 4, Folding(2, 4, 4, 3), pads=(0, 1, 0, 1)),
    "row_pads_above": Case((4, 6, 4), (3, 3), 4, Folding(2, 4, 4, 3), pads=(2, 0, 1, 0)),
    "row_strided": Case((5, 8, 4), (3, 5), 4, Folding(2, 4, 4, 5), pads=(1, 2, 1, 2), stride=(2, 2)),
    "row_mostly_outside": Case((2, 2, 3), (3, 5), 4, Folding(2, 3, 4, 5), pads=(1, 3, 1, 3)),
    "row_wholly_outside": Case((3, 3, 2), (3, 3), 4, Folding(2, 2, 7, 3), pads=(2, 3, 2, 3)),
    "row_outside_is_one": Case((4, 4, 4), (3, 3), 4, Folding(2, 2, 4, 3), pads=PADS, pad_value=1),
    "row_outside_is_minus_one": Case((4, 4, 3), (3, 3), 4, Folding(4, 3, 4, 3), pads=PADS, pad_value=-1),
    "row_bytes": Case((5, 5, 3), (3, 3), 4, Folding(2, 1, 5, 3), values=BYTES, pads=PADS),
    "row_bytes_outside": Case((4, 4, 3), (3, 3), 4, Folding(2, 1, 4, 3), values=BYTES, pads=PADS, pad_value=-128),
    "row_nibbles": Case((4, 4, 2), (3, 3), 4, Folding(1, 2, 4, 3), values=NIBBLE, pads=PADS, full_scale=True),
}
TOTALS = {
    "one": Case((3, 4, 5), (3, 3), 4, Folding(2, 5), signs=False),
    "halves": Case((4, 4, 3), (3, 3), 6, Folding(3, 3, 4), pads=PADS, signs=False),
    "bytes": Case((3, 4, 3), (3, 3), 4, Folding(2, 3, 2), values=BYTES, pads=PADS, signs=False, full_scale=True),
    "row": Case((4, 4, 4), (3, 3), 4, Folding(2, 2, 4, 3), pads=PADS, signs=False),
    "row_halves": Case((4, 4, 3), (3, 3), 4, Folding(2, 3, 4, 3), pads=PADS, signs=False),
    "row_bytes": Case((4, 4, 3), (3, 3), 4, Folding(2, 3, 4, 3), values=BYTES, pads=PADS, signs=False),
    "dense": Case((1, 1, 512), (1, 1), 10, Folding(2, 64), signs=False, full_scale=True),
    "dense_at_once": Case((1, 1, 30), (1, 1), 10, Folding(10, 30), signs=False),
    "shift": Case((3, 4, 4), (3, 3), 4, Folding(2, 2, 2), values=Values(0, 65535), weights=Powers(3), pads=PADS,
                  signs=False, full_scale=True),
    "row_shift": Case((3, 4, 4), (3, 3), 4, Folding(2, 2, 4, 3), values=Values(-4, 3), weights=Powers(7), pads=PADS,
                      signs=False),
    "multiply": Case((3, 4, 4), (3, 3), 4, Folding(2, 2, 2), weights=integers.TERNARY, pads=PADS, signs=False),
    "row_multiply": Case((3, 4, 4), (3, 3), 4, Folding(2, 2, 4, 3), values=NIBBLE, weights=Values(-8, 7), pads=PADS,
                         signs=False, multiplier="dsp"),
    "row_multiply_bipolar": Case((3, 4, 4), (3, 3), 4, Folding(2, 2, 2, 3), weights=integers.TERNARY, signs=False),
}


def in_dsps(case):
    """The same with accumulators in DSPs."""
    return replace(case, folding=replace(case.folding, dsp=True))


def check(case, stall=0.0, seed=0, count=3, **options):
    unit, given, expected = prepared(case, seed, count)
    assert streams.run(unit, given, len(expected), stall=stall, seed=seed,
                       limit=20 * (len(given) + len(expected)) + 500, **options) == expected


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_signs(name, dsp):
    for stall in (0, 0.5):
        check(in_dsps(CASES[name]) if dsp else CASES[name], stall)


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("limits", [[BEYOND] * 4, [-BEYOND] * 4, [BEYOND, -BEYOND] * 2, [12] * 4])
@pytest.mark.parametrize("name", ["one", "row"])
def test_thresholds_that_are_never_or_always_reached_or_alike(name, limits, dsp):
    case = in_dsps(CASES[name]) if dsp else CASES[name]
    unit, given, expected = prepared(case, limits=limits)
    assert streams.run(unit, given, len(expected), stall=0.3, limit=20 * len(given) + 500) == expected


@pytest.mark.parametrize("name", TOTALS)
def test_totals(name):
    for stall in (0, 0.5):
        check(TOTALS[name], stall)


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize(("size", "pads", "folding"), [
    ((2, 4, 512), (1, 1, 0, 1), Folding(2, 64, 4, 3)), ((3, 3, 512), (0, 0, 0, 0), Folding(1, 8, 1)),
    ((3, 3, 512), (0, 0, 0, 0), Folding(4, 512, 1)), ((3, 3, 512), (0, 0, 0, 0), Folding(1, 512, 1, 3))])
def test_windows_of_4608_products(size, pads, folding, dsp):
    case = Case(size, (3, 3), 4, folding, pads=pads, full_scale=True)
    check(in_dsps(case) if dsp else case, count=2, stall=0.2)


@pytest.mark.parametrize("seed", range(30))
def test_random_geometry(seed):
    rng = np.random.default_rng(seed)

    def divisor(number):
        return int(rng.choice([k for k in range(1, number + 1) if not number % k]))

    kernel = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    size = int(rng.integers(kernel[0], 5)), int(rng.integers(kernel[1], 8)), int(rng.integers(1, 7))
    pads = tuple(int(n) for n in rng.integers(0, 3, 4))
    stride = tuple(int(n) for n in rng.integers(1, 3, 2))
    columns = (size[1] + pads[1] + pads[3] - kernel[1]) // stride[1] + 1
    whole = seed % 2
    folding = Folding(divisor(6), divisor(size[2]), columns if whole else divisor(columns), kernel[1] if whole else 1)
    values = [BIPOLAR, BIPOLAR, BYTES, NIBBLE][int(rng.integers(4))]
    case = Case(size, kernel, 6, folding, values=values, pads=pads, stride=stride, signs=seed % 3 > 0,
                pad_value=int(rng.choice([0, 0, values.lo, values.hi])))
    dsp = seed % 5 > 1 and values != BYTES  # totals of bytes may be too wide for two in a DSP
    check(in_dsps(case) if dsp else case, stall=(0, 0.4)[seed // 2 % 2], seed=seed)


def paused(unit, given, expected, *, every, clocks):
    """What comes out if the consumer takes nothing for ``clocks`` after every ``every`` results."""
    received = []

    async def feed(ctx):
        for payload in given:
            await streams.put(ctx, unit.i, payload)

    async def drain(ctx):
        while len(received) < len(expected):
            await ctx.tick().repeat(clocks)
            for _ in range(min(every, len(expected) - len(received))):
                received.append(await streams.get(ctx, unit.o))

    limit = (len(expected) // every + 2) * clocks + 20 * (len(given) + len(expected)) + 500
    streams.simulate(unit, [feed, drain], progress=lambda: len(received), limit=limit)
    return received


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("name", ["all_at_once", "folds", "beats", "row", "row_of_one_beat"])
def test_long_pauses_of_the_consumer(name, every, dsp):
    """Results of all that is on its way, and no more, find room."""
    case = in_dsps(CASES[name]) if dsp else CASES[name]
    unit, given, expected = prepared(case, count=6)
    assert paused(unit, given, expected, every=every, clocks=100) == expected


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("name", ["all_at_once", "folds", "row_of_one_beat", "row", "one", "row_bytes"])
def test_never_pauses_by_itself(name, dsp):
    """A payload a clock, if there is always one, and results are taken at once."""
    case = in_dsps(CASES[name]) if dsp else CASES[name]
    unit, given, expected = prepared(case, count=20)
    assert streams.run(unit, given, len(expected), limit=len(given) + unit.latency + 5) == expected


def test_a_unit_that_does_not_wait_for_its_queue_is_found():
    class Hasty(MatrixUnit):
        def _queue(self, m, reserve, full, push, results):
            super()._queue(m, reserve, Signal(name="ignored"), push, results)

    unit, given, expected = prepared(CASES["all_at_once"], count=40, make=Hasty)
    with pytest.raises((AssertionError, TimeoutError)):
        assert paused(unit, given, expected, every=7, clocks=100) == expected


class _Changed(MatrixUnit):
    """One bit of the weights is wrong."""

    def words(self):
        first, *rest = super().words()
        return [first ^ 1 << len(rest) % self.simd, *rest]


class _Begun(MatrixUnit):
    """One sum begins one higher."""

    def starts(self):
        return [super().starts()[0] + 1, *super().starts()[1:]]


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("make", [_Changed, _Begun])
@pytest.mark.parametrize("name", ["one", "flags", "halves", "row", "row_halves", "row_bytes_outside"])
def test_planted_errors_are_found(name, make, dsp):
    case = in_dsps(CASES[name]) if dsp else CASES[name]
    unit, given, expected = prepared(case, count=8, make=make)
    assert streams.run(unit, given, len(expected), limit=20_000) != expected


@pytest.mark.parametrize("column", [-1, 1])
def test_a_column_beside_is_found(column, monkeypatch):
    columns = MatrixUnit._columns
    monkeypatch.setattr(MatrixUnit, "_columns", lambda self, p: columns(self, p + column * (p == 1)))
    unit, given, expected = prepared(CASES["row_without_pads"])
    assert streams.run(unit, given, len(expected), limit=20_000) != expected


def test_outputs_must_be_divided():
    case = Case((3, 3, 4), (3, 3), 4, Folding(3, 2))
    with pytest.raises(ValueError, match="pe 3 does not divide 4 outputs"):
        prepared(case)
