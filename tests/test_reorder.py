# amaranth: UnusedElaboratable=no
"""Groups of many positions to groups of fewer, against arrays that are cut anew."""

import numpy as np
import pytest

from gen.bits import pack
from gen.hw.reorder import Reorder

from . import streams

WIDTH = 3


def cut(values, pixels):
    """Payloads of ``values`` (positions, folds, items): of each group of positions fold by fold."""
    positions, folds, items = values.shape
    grouped = values.reshape(positions // pixels, pixels, folds, items).transpose(0, 2, 1, 3)
    return pack(grouped.reshape(-1, pixels * items), 1)


def case(pixels, given, folds, groups, seed=0):
    """Payloads that come, and those that are to be given, of random bits."""
    values = np.random.default_rng(seed).integers(0, 2, (groups * pixels, folds, WIDTH))
    return cut(values, pixels), cut(values, given)


SIZES = [(pixels, given) for pixels in (1, 2, 4, 6, 12) for given in range(1, pixels + 1) if not pixels % given]


@pytest.mark.parametrize("folds", [1, 3, 16])
@pytest.mark.parametrize(("pixels", "given"), SIZES)
def test_order(pixels, given, folds):
    payloads, expected = case(pixels, given, folds, 9)
    for interval, stall in (1, 0), (1, 0.5), (1000, 0.5):
        dut = Reorder(WIDTH, pixels=pixels, given=given, folds=folds, interval=interval)
        assert streams.run(dut, payloads, len(expected), stall=stall, seed=folds) == expected


async def feed(ctx, port, payloads, interval, waited):
    """Offer a payload every ``interval`` clocks; note for how long each waited."""
    clock = 0
    for number, payload in enumerate(payloads):
        due = number * interval
        if clock < due:
            await ctx.tick().repeat(due - clock)
            clock = due
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        taken, offered = False, clock
        while not taken:
            *_, taken = await ctx.tick().sample(port.ready)
            clock += 1
        waited.append(clock - 1 - offered)
        ctx.set(port.valid, 0)


def waits(dut, payloads, expected, interval):
    """Clocks that each payload waited, if they come every ``interval`` clocks and all that is given is taken."""
    waited, received = [], []

    async def source(ctx):
        await feed(ctx, dut.i, payloads, interval, waited)

    async def sink(ctx):
        while len(received) < len(expected):
            received.append(await streams.get(ctx, dut.o))

    limit = len(payloads) * interval + 2 * len(expected) + 100
    streams.simulate(dut, [source, sink], progress=lambda: len(received), limit=limit)
    assert received == expected
    return waited


@pytest.mark.parametrize("folds", [1, 3, 32])
@pytest.mark.parametrize(("pixels", "given"), SIZES)
def test_nothing_waits_at_the_rate_that_it_is_made_for(pixels, given, folds):
    """As fast as parts can be given, and a little slower."""
    payloads, expected = case(pixels, given, folds, 12)
    parts = pixels // given
    for interval in (parts, parts + 1):
        dut = Reorder(WIDTH, pixels=pixels, given=given, folds=folds, interval=interval)
        assert max(waits(dut, payloads, expected, interval)) == 0


@pytest.mark.parametrize("folds", [1, 8])
@pytest.mark.parametrize(("pixels", "given"), SIZES)
def test_gives_a_payload_a_clock(pixels, given, folds):
    """Where more comes than can be given, what is given has no gaps."""
    payloads, expected = case(pixels, given, folds, 20)
    dut = Reorder(WIDTH, pixels=pixels, given=given, folds=folds, interval=1)
    times = []
    assert streams.run(dut, payloads, len(expected), times=times) == expected
    steady = times[len(times) // 4:]
    assert steady[-1] - steady[0] == len(steady) - 1


def test_too_little_room_is_found():
    """With less than the payloads that come meanwhile, some wait."""
    payloads, expected = case(8, 1, 16, 6)
    dut = Reorder(WIDTH, pixels=8, given=1, folds=16, interval=8)
    dut.depth = 16 + 4
    assert max(waits(dut, payloads, expected, 8)) > 0


@pytest.mark.parametrize("depth", [7, 8])
def test_wrong_order_is_found(depth, monkeypatch):
    """A queue that goes round at another place than is counted on."""
    monkeypatch.setattr("gen.hw.reorder.wrap_add", lambda value, step, modulus: (value + step) % depth)
    payloads, expected = case(4, 1, 4, 6)
    dut = Reorder(WIDTH, pixels=4, given=1, folds=4, interval=4)
    assert dut.depth == 9
    assert streams.run(dut, payloads, len(expected)) != expected


def test_equal_names_mean_equal_units():
    plain = {"width": 4, "pixels": 8, "given": 2, "folds": 4, "interval": 4}
    changes = [{}, {"width": 5}, {"pixels": 4}, {"given": 4}, {"folds": 2}, {"interval": 100}]
    assert len({Reorder(**(plain | change)).unit_name for change in changes}) == len(changes)


def test_positions_must_divide():
    with pytest.raises(ValueError, match="3 positions do not divide 8"):
        Reorder(WIDTH, pixels=8, given=3, folds=1, interval=1)
