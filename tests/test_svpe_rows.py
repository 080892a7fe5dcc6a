# amaranth: UnusedElaboratable=no
"""What row chains give their cells against the definition of rasters and masks."""

import random

import pytest
from amaranth import *

from gen.hw.svpe.rows import LATENCY, RowChain
from gen.svpe.records import PATTERN, pack
from gen.svpe.shape import Shape

from . import rasters, streams

PIXELS = 256


class Chains(Elaboratable):
    """Row chains, the tokens of each from the one before."""

    def __init__(self, shape, skew, kind=RowChain):
        self.chains = [kind(shape, skew) for _ in range(shape.chains)]

    def elaborate(self, platform):
        m = Module()

        m.submodules += self.chains
        for before, chain in zip(self.chains[:-1], self.chains[1:], strict=True):
            m.d.comb += chain.token.eq(before.following)

        return m


async def fill(ctx, chain, pixels, patterns):
    """Write a chain's buffer and its patterns."""
    configs = [pack(PATTERN, pattern) for pattern in patterns]
    for port, contents in (chain.write, rasters.words(pixels)), (chain.config, configs):
        for address, word in enumerate(contents):
            ctx.set(port.en, 1)
            ctx.set(port.address, address)
            ctx.set(port.data, word)
            await ctx.tick()
        ctx.set(port.en, 0)


def decode(dut, value):
    """(pixels, swaps) by chain and cell, from the value of ``x`` and ``swap`` of all chains."""
    taps, bits = dut.chains[0].taps, dut.chains[0].pixel_bits
    cells = rasters.cut(value, ([bits] * taps + [1] * taps) * len(dut.chains))
    chains = [cells[k:k + 2 * taps] for k in range(0, len(cells), 2 * taps)]
    return ([[x - (x >> bits - 1 << bits) for x in chain[:taps]] for chain in chains],
            [chain[taps:] for chain in chains])


def observe(dut, tokens, contents):
    """(pixels, swaps) of every chain in every clock from that of the first of ``tokens``, one a clock, on.

    Each is indexed by clock, chain, cell; ``contents`` are the (pixels, patterns) of every chain.
    """
    first, seen = dut.chains[0], []
    ports = [port for chain in dut.chains for port in (chain.x, chain.swap)]

    async def bench(ctx):
        for chain, (pixels, patterns) in zip(dut.chains, contents, strict=True):
            await fill(ctx, chain, pixels, patterns)
        for token in tokens + [None] * (LATENCY + first.taps + first.skew * len(dut.chains)):
            given = token or {"slot": 0, "start": 0}
            ctx.set(first.token, {name: value for name, value in given.items() if value is not rasters.ANY})
            *_, values = await ctx.tick().sample(Cat(ports))
            seen.append(decode(dut, values))

    streams.simulate(dut, [bench], limit=20_000)
    return zip(*seen, strict=True)


def random_passes(rng, taps, count):
    """Patterns for one chain's passes, and those passes: (records, [record or None, token or None] of each clock)."""
    records, clocks = [], []
    pattern = 0
    for _ in range(count):
        change = records and rng.random() < 0.5
        pattern += bool(change)
        rows, period = rng.choice([(1, 8), (8, 1), (2, 5), (3, 9), (5, 4), (4, 2)])
        if records and not change:  # masks are the pattern's
            rows, period = records[-1]["rows"], records[-1]["period"]
        record = {"pattern": pattern, "offset": rng.randrange(60), "rows": rows, "period": period,
                  "columns": rng.randint(1, period), "first": 0, "last": 0, "target": 0}
        pause = (taps - 1) * bool(change) + rng.choice([0, 0, 0, 1, 5])
        clocks += [(None, None)] * pause + [(record, token) for token in rasters.slots(record)]
        records.append(record)
    return records, clocks


def check(taps=3, chains=1, skew=1, *, seed=0, kind=RowChain, **options):
    """Random passes through random patterns and pixels: every pixel is as defined, swaps come at starts alone."""
    rng = random.Random(seed)
    shape = Shape(chains=chains, taps=taps, chain_words=PIXELS // 8, **options)
    records, clocks = random_passes(rng, taps, 12)
    used = {record["pattern"]: record for record in records}
    contents = [([rng.getrandbits(16) for _ in range(PIXELS)],
                 [rasters.random_pattern(rng, record, taps, PIXELS) for record in used.values()])
                for _ in range(chains)]
    x, swap = observe(Chains(shape, skew, kind), [token for _, token in clocks], contents)
    starts = {clock for clock, (_, token) in enumerate(clocks) if token and token["start"]}
    defined = 0
    for r, (pixels, patterns) in enumerate(contents):
        for t in range(taps):
            late = LATENCY + skew * r + t  # from a token to this cell's pixel
            assert {clock - late + 1 for clock, now in enumerate(swap) if now[r][t]} == starts
            for clock, (record, token) in enumerate(clocks):
                if token:
                    wanted = rasters.pixel(patterns[token["pattern"]], record, pixels, token, taps, t)
                    assert wanted in (rasters.ANY, x[clock + late][r][t]), (r, t, clock, token)
                    defined += bool(wanted)
    assert defined > 50  # and not 0


@pytest.mark.parametrize("seed", range(20))
def test_cells_get_the_raster_under_their_masks(seed):
    check(seed=seed)


@pytest.mark.parametrize(("taps", "chains", "skew"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (3, 3, 3), (2, 2, 5)])
def test_each_chain_works_behind_the_one_before(taps, chains, skew):
    check(taps, chains, skew, seed=taps)


def test_pixels_of_sixteen_bits():
    with pytest.raises(AssertionError):
        check(pixel_bits=16)  # there are unsigned ones beyond them


class Late(RowChain):
    """With masks a clock late."""

    def _masks(self, m, pattern, token):
        for t, keep in enumerate(super()._masks(m, pattern, token)):
            late = Signal(name=f"late{t}")
            m.d.sync += late.eq(keep)
            yield late


class Unsigned(RowChain):
    """All pixels are unsigned."""

    def _pixel(self, m, address, signed):
        return super()._pixel(m, address, Const(0))


class Wide(RowChain):
    """Rasters go to the next row an item late."""

    def _address(self, m, pattern, origin, start, end):
        late = Signal()
        m.d.sync += late.eq(end)
        return super()._address(m, pattern, origin, start, late)


@pytest.mark.parametrize("kind", [Late, Unsigned, Wide])
def test_faults_are_found(kind):
    with pytest.raises(AssertionError):
        check(kind=kind)


def test_chains_do_not_work_at_once():
    with pytest.raises(ValueError, match="skew is 0"):
        RowChain(Shape(), 0)
