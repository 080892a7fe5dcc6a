# amaranth: UnusedElaboratable=no
"""Tokens of passes, and convolutions of what they and row chains give."""

import itertools
import random

import numpy as np
import pytest
from amaranth import *

from gen.hw.svpe.passes import PassUnit
from gen.hw.svpe.rows import LATENCY
from gen.svpe.shape import WORD_PIXELS, Shape

from . import rasters, streams
from .test_svpe_rows import Chains, decode, fill


def observe(dut, unit, records, ports, *, prepare=None, slow=0.0, stall=0.0, seed=0, after=40):
    """What ``ports`` were in every clock, while ``unit`` worked through ``records``, and ``after`` it took the last.

    Weights are ready a clock after those before were taken, or later by chance ``slow``.
    """
    rng, seen, prepared = random.Random(seed), [], []

    async def feed(ctx):
        if prepare:
            await prepare(ctx)
        prepared.append(True)
        for record in records:
            while rng.random() < stall:
                await ctx.tick()
            await streams.put(ctx, unit.record, record)
        await ctx.tick().repeat(after)

    async def load(ctx):
        while True:
            while rng.random() < slow:
                await ctx.tick()
            ctx.set(unit.loaded, 1)
            taken = False
            while not taken:
                *_, taken = await ctx.tick().sample(unit.start)
            ctx.set(unit.loaded, 0)
            await ctx.tick()

    async def watch(ctx):
        while True:
            *_, values = await ctx.tick().sample(Cat(ports))
            if prepared:
                seen.append(values)

    streams.simulate(dut, [feed], [load, watch], limit=50_000)
    return seen


def random_records(rng, count):
    """Records of passes that a unit may get."""
    records = []
    for _ in range(count):
        rows, period = rng.choice([(1, 8), (8, 1), (2, 5), (3, 9), (1, 1000), (1000, 1)] if rng.random() < 0.1 else
                                  [(1, 8), (8, 1), (2, 5), (3, 9)])
        records.append({"pattern": rng.randrange(2), "offset": rng.getrandbits(16), "rows": rows, "period": period,
                        "columns": rng.randint(1, period), "first": rng.randrange(2), "last": rng.randrange(2),
                        "target": rng.getrandbits(16)})
    return records


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize(("slow", "stall"), [(0, 0), (0.95, 0), (0, 0.95), (0.9, 0.9)])
def test_every_slot_has_its_token(taps, slow, stall):
    records = random_records(random.Random(taps), 40)
    dut = PassUnit(Shape(taps=taps))
    fields = [*dut.token.shape().members]
    ports = [dut.start, dut.idle, dut.unloaded, *(dut.token[name] for name in fields)]
    widths = [len(port) for port in ports]
    clocks = observe(dut, dut, records, ports, slow=slow, stall=stall, after=records[-1]["rows"] * 1000)
    result, pauses, pause, waits = [], [], 0, []
    for values in clocks:
        start, idle, unloaded, *token = rasters.cut(values, widths)
        token = dict(zip(fields, token, strict=True))
        assert (start, idle and unloaded) == (token["start"], 0)
        waits.append(idle or unloaded)
        if token["slot"]:
            pauses += [pause] * start
            result.append(token)
        pause = 0 if token["slot"] else pause + 1
    expected = [token for record in records for token in rasters.slots(record)]
    known = [{name for name, value in token.items() if value is not rasters.ANY} for token in expected]
    assert [[token[name] for name in names] for token, names in zip(result, known, strict=True)] == \
           [[token[name] for name in names] for token, names in zip(expected, known, strict=True)]
    least = [(taps - 1) * (a["pattern"] != b["pattern"]) for a, b in itertools.pairwise(records)]
    assert all(a >= b for a, b in zip(pauses[1:], least, strict=True))
    if not slow and not stall:
        assert pauses[1:] == least
    begin, end = pauses[0], len(clocks) - pause
    lost = sum(waits[begin - 1:end - 2])
    assert sum(pauses[1:]) - sum(least) <= lost <= sum(pauses[1:])


class Front(Elaboratable):
    """All that stands before the array."""

    def __init__(self, shape, skew, unit):
        self.unit, self.rows = unit, Chains(shape, skew)

    def elaborate(self, platform):
        m = Module()

        m.submodules += [self.unit, self.rows]
        m.d.comb += self.rows.chains[0].token.eq(self.unit.token)

        return m


def groups_of(columns, stride, taps):
    """Columns of a kernel in groups that a chain can take at once: ``stride`` apart, at most ``taps`` of them."""
    phases = [range(phase, columns, stride) for phase in range(min(stride, columns))]
    return [list(phase[k:k + taps]) for phase in phases for k in range(0, len(phase), taps)]


def within(offset, stride, count, limit):
    """The first and the last of ``count`` outputs whose pixel, at ``output * stride + offset``, is within ``limit``."""
    found = [output for output in range(count) if 0 <= output * stride + offset < limit]
    return (found[0], found[-1]) if found else (1, 0)


def pattern_of(plane, row, columns, stride, size, taps):
    """Pattern of a chain that takes some columns of one row of a kernel; and the period that it needs.

    ``plane`` is (base, pitch, height, width) of a channel in the buffer, ``size`` (rows, columns) of the output;
    ``row`` and ``columns`` are those of the pixels for output (0, 0).
    """
    base, pitch, height, width = plane
    masks = [within(column, stride, size[1], width) for column in columns] + [(1, 0)] * (3 - len(columns))
    behind = [(taps - 1 - t, low, high) for t, (low, high) in enumerate(masks) if low <= high]
    lead = max(0, *(items - low for items, low, _ in behind))  # no cell needs an item before the first of its row
    period = max(high + lead - items + 1 for items, _, high in behind)  # nor one after the last
    row_low, row_high = within(row, stride, size[0], height)
    first = columns[0] + (taps - 1 - lead) * stride  # column of item 0
    pattern = {"base": (base + row * pitch + first) % 2**16, "lead": lead, "stride": stride, "pitch": pitch * stride,
               "signed": 1, "row_low": row_low, "row_high": row_high}
    for t, (low, high) in enumerate(masks):
        pattern |= {f"low{t}": low, f"high{t}": high}
    return pattern, period


def plan(shape, image, weights, stride, pad, size):
    """Work for a convolution: records and sets of weights of its passes, pixels and patterns of every chain.

    A chain takes a row of one channel's kernel, or some columns of it; a pass as many such as there are chains.
    """
    channels, height, width = image.shape
    pitch = -(-width // WORD_PIXELS) * WORD_PIXELS
    planes = np.pad(image, ((0, 0), (0, 0), (0, pitch - width))) & 0xffff
    jobs = [(channel, ky, columns) for channel in range(channels) for ky in range(weights.shape[1])
            for columns in groups_of(weights.shape[2], stride, shape.taps)]
    count = -(-len(jobs) // shape.chains)
    periods = [max(size[1], -(-8 // size[0]))] * count  # eight slots at least
    sets = np.zeros((count, shape.chains, shape.taps), int)
    contents = [([], [{"row_low": 1, "row_high": 0}] * count) for _ in range(shape.chains)]
    for number, (channel, ky, columns) in enumerate(jobs):
        chosen, r = divmod(number, shape.chains)
        pixels, patterns = contents[r]
        plane = len(pixels), pitch, height, width
        patterns[chosen], period = pattern_of(plane, ky - pad, [kx - pad for kx in columns], stride, size, shape.taps)
        periods[chosen] = max(periods[chosen], period)
        pixels += planes[channel].reshape(-1).tolist()
        sets[chosen, r, :len(columns)] = weights[channel, ky, columns]
    records = [{"pattern": k, "offset": 0, "rows": size[0], "period": period, "columns": size[1], "first": k == 0,
                "last": k == count - 1, "target": 0} for k, period in enumerate(periods)]
    return records, sets, contents


def direct(image, weights, stride, pad):
    """Convolution of ``image`` (channels, height, width), as it is defined."""
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
    view = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[1:], axis=(1, 2))
    return np.einsum("cyxhw,chw->yx", view[:, ::stride, ::stride], weights)


def convolve(shape, size, kernel, stride, pad, *, skew=1, kind=PassUnit, **options):
    """(what the front end's pixels add up to, what a convolution is), with random pixels and weights.

    ``size`` is (channels, height, width).
    """
    rng = np.random.default_rng(stride)
    image, weights = rng.integers(-2**15, 2**15, size), rng.integers(-4, 5, (size[0], kernel, kernel))
    wanted = direct(image, weights, stride, pad)
    records, sets, contents = plan(shape, image, weights, stride, pad, wanted.shape)
    dut = Front(shape, skew, kind(shape))
    chains, token = dut.rows.chains, dut.unit.token

    async def prepare(ctx):
        for chain, (pixels, patterns) in zip(chains, contents, strict=True):
            await fill(ctx, chain, pixels, patterns)

    ports = [token, *(port for chain in chains for port in (chain.x, chain.swap))]
    last = records[-1]["rows"] * records[-1]["period"] + LATENCY + skew * shape.chains + shape.taps + 5
    seen = observe(dut, dut.unit, records, ports, prepare=prepare, after=last, **options)
    bits = token.shape().size
    tokens = [token.shape().from_bits(value & (1 << bits) - 1) for value in seen]
    x, swap = zip(*(decode(dut.rows, value >> bits) for value in seen), strict=True)
    return add_up(tokens, x, swap, sets, skew), wanted.reshape(-1).tolist()


def add_up(tokens, x, swap, sets, skew):
    """What an array gives for ``x``: its cells take their next weights after ``swap``; sums of a target pile up."""
    _, chains, taps = sets.shape
    cells = [(r, t) for r in range(chains) for t in range(taps)]
    taken, products = dict.fromkeys(cells, -1), []
    for pixels, swaps in zip(x, swap, strict=True):
        products.append({(r, t): int(sets[taken[r, t], r, t]) * pixels[r][t] for r, t in cells})
        for r, t in cells:
            taken[r, t] += swaps[r][t]
    sums, results = {}, {}
    for clock, token in enumerate(tokens):
        if token.slot and token.valid:
            total = sum(products[clock + LATENCY + skew * r + t][r, t] for r, t in cells)
            sums[token.target] = total + (0 if token.first else sums[token.target])
            if token.last:
                results[token.target] = sums[token.target]
    return [results[target] for target in range(len(results))]


SMALL = Shape(chains=6, chain_words=256)
CASES = {
    "3x3 same": (SMALL, (2, 6, 7), 3, 1, 1),
    "3x3 unpadded": (SMALL, (2, 6, 9), 3, 1, 0),
    "3x3 stride 2": (SMALL, (1, 7, 9), 3, 2, 1),
    "5x5": (SMALL, (1, 6, 8), 5, 1, 2),
    "7x7 stride 2": (SMALL, (1, 9, 9), 7, 2, 3),
    "11x11 stride 4": (SMALL, (1, 15, 15), 11, 4, 2),
    "1x1": (SMALL, (4, 3, 3), 1, 1, 0),
    "1x1 stride 2": (SMALL, (3, 5, 5), 1, 2, 0),
    "dense": (SMALL, (9, 1, 1), 1, 1, 0),
    "two taps": (Shape(chains=6, taps=2, chain_words=256), (2, 5, 6), 3, 1, 1),
    "one tap": (Shape(chains=6, taps=1, chain_words=256), (1, 4, 5), 3, 1, 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("skew", "slow", "stall"), [(1, 0, 0), (3, 0.9, 0.9)])
def test_pixels_add_up_to_the_convolution(case, skew, slow, stall):
    result, wanted = convolve(*CASES[case], skew=skew, slow=slow, stall=stall)
    assert result == wanted


class Hasty(PassUnit):
    """Pauses too little before another pattern."""

    def __init__(self, shape):
        super().__init__(Shape(taps=shape.taps - 1))


def test_passes_of_different_leads_need_their_pause():
    result, wanted = convolve(*CASES["5x5"], kind=Hasty)
    assert result != wanted
