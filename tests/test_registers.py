# amaranth: UnusedElaboratable=no

import random
from types import SimpleNamespace

import pytest
from amaranth import Cat

from gen.bits import BYTE, Values
from gen.hw.axi import Response
from gen.hw.registers import EVENTS, OFFSETS, REGISTERS, Geometry, RegisterFile, markdown, pack_version
from gen.network import Tensor

from . import streams

INPUT = Geometry(Tensor(32, 30, 3, BYTE), 960, 24)
OUTPUT = Geometry(Tensor(1, 1, 10, Values(-576, 576)), 10, 11)
OKAY, SLVERR = Response
CONSTANTS = {
    "IDENTITY": 0x504f5057, "VERSION": 0x00010203, "BUILD": 0xdeadbeef,
    "INPUT_SIZE": 32 << 16 | 30, "INPUT_VALUES": 3 << 16 | 8, "INPUT_BEATS": 960, "INPUT_BITS": 24,
    "OUTPUT_SIZE": 1 << 16 | 1, "OUTPUT_VALUES": 10 << 16 | 1 << 8 | 11,
    "OUTPUT_BEATS": 10, "OUTPUT_BITS": 11}
WRITABLE = {OFFSETS["CONTROL"], OFFSETS["ERRORS"]}


def registers():
    return RegisterFile(version="1.2.3", build=0xdeadbeef, input=INPUT, output=OUTPUT)


def channels(axi):
    """The five channels of AXI4-Lite as streams."""
    fields = {"aw": ["addr"], "w": ["data", "strb"], "b": ["resp"], "ar": ["addr"], "r": ["data", "resp"]}
    return SimpleNamespace(**{
        name: SimpleNamespace(
            payload=Cat(getattr(axi, name + part) for part in parts),
            valid=getattr(axi, name + "valid"), ready=getattr(axi, name + "ready"))
        for name, parts in fields.items()})


def word(data, strobe=0b1111):
    return strobe << 32 | data


def drive(script):
    """Run ``script(ctx, dut, read, write)``, ``read`` and ``write`` by the name of a register."""
    dut = registers()
    axi = channels(dut.axi)

    async def bench(ctx):
        async def read(name):
            await streams.put(ctx, axi.ar, OFFSETS[name])
            return await streams.get(ctx, axi.r)

        async def write(name, data, strobe=0b1111):
            await streams.put(ctx, axi.aw, OFFSETS[name])
            await streams.put(ctx, axi.w, word(data, strobe))
            return await streams.get(ctx, axi.b)

        await script(ctx, dut, read, write)

    streams.simulate(dut, [bench])


async def happen(ctx, dut, cycles, *names):
    """Let events happen for some cycles, and be counted."""
    ctx.set(dut.events, {name: name in names for name in EVENTS})
    await ctx.tick().repeat(cycles)
    ctx.set(dut.events, dict.fromkeys(EVENTS, 0))
    await ctx.tick().repeat(2)


@pytest.mark.parametrize("stall", [0, 0.5])
def test_reads(stall):
    rng, dut = random.Random(1), registers()
    known = {OFFSETS[name]: value for name, value in CONSTANTS.items()}
    unknown = [0x34, 0x3c, 0x64, 0x100, 0x810, 0xffc]
    addresses = [rng.choice([*known, *unknown]) for _ in range(200)]
    axi = channels(dut.axi)
    received = streams.exchange(dut, [(axi.ar, addresses)], [(axi.r, len(addresses))], stall=stall)
    assert received == [
        [known[address] | OKAY << 32 if address in known else SLVERR << 32 for address in addresses]]


@pytest.mark.parametrize("stall", [0, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_reads_and_writes_at_once(seed, stall):
    rng, dut = random.Random(seed), registers()
    targets = [rng.choice([*OFFSETS.values(), 0x38, 0xffc]) for _ in range(100)]
    reads = [OFFSETS["BUILD"]] * 100
    axi = channels(dut.axi)
    responses, data = streams.exchange(
        dut, [(axi.aw, targets), (axi.w, [rng.getrandbits(36) for _ in targets]), (axi.ar, reads)],
        [(axi.b, len(targets)), (axi.r, len(reads))], stall=stall, seed=seed)
    assert responses == [OKAY if target in WRITABLE else SLVERR for target in targets]
    assert data == [0xdeadbeef] * len(reads)


@pytest.mark.parametrize("first", ["aw", "w"])
def test_address_and_data_in_either_order(first):
    dut = registers()
    axi = channels(dut.axi)
    requests = {"aw": OFFSETS["CONTROL"], "w": word(1)}

    async def bench(ctx):
        for name in (first, *(requests.keys() - {first})):
            await streams.put(ctx, getattr(axi, name), requests[name])
            await ctx.tick().repeat(3)
        assert await streams.get(ctx, axi.b) == OKAY

    streams.simulate(dut, [bench])


@pytest.mark.parametrize("event", EVENTS)
def test_events_are_counted_and_cleared(event):
    async def script(ctx, dut, read, write):
        await happen(ctx, dut, 5, event)
        for name in EVENTS:
            assert await read(name.upper()) == (5 if name == event else 0)
        await write("CONTROL", 1, strobe=0b1110)
        assert await read(event.upper()) == 5
        await write("CONTROL", 1)
        assert await read(event.upper()) == 0

    drive(script)


def test_errors_stick_until_cleared():
    async def script(ctx, dut, read, write):
        await happen(ctx, dut, 1, "short_frames")
        assert await read("ERRORS") == 0b01
        await happen(ctx, dut, 1, "long_frames")
        await write("CONTROL", 1)
        assert await read("ERRORS") == 0b11
        await write("ERRORS", 0b01, strobe=0b1110)
        assert await read("ERRORS") == 0b11
        await write("ERRORS", 0b01)
        assert await read("ERRORS") == 0b10
        await write("ERRORS", 0b10)
        assert await read("ERRORS") == 0

    drive(script)


def test_cycles_are_read_as_one_number():
    async def script(ctx, dut, read, write):
        ctx.set(dut.cycles, 2 ** 32 - 10)
        low = await read("CYCLES")
        await ctx.tick().repeat(1000)
        assert 2 ** 32 - 10 <= low + (await read("CYCLES_HIGH") << 32) < 2 ** 32
        low = await read("CYCLES")
        assert 2 ** 32 + 990 < low + (await read("CYCLES_HIGH") << 32) < 2 ** 32 + 1010

    drive(script)


def test_cycles_are_cleared():
    async def script(ctx, dut, read, write):
        await ctx.tick().repeat(1000)
        await write("CONTROL", 1)
        assert await read("CYCLES") < 10

    drive(script)


def test_control_reads_as_zero():
    async def script(ctx, dut, read, write):
        await write("CONTROL", 0xffff_ffff)
        assert await read("CONTROL") == 0

    drive(script)


def test_table():
    assert len(set(OFFSETS.values())) == len(OFFSETS) == len(REGISTERS)
    assert all(register.offset % 4 == 0 for register in REGISTERS)
    assert {r.offset for r in REGISTERS if r.access != "ro"} == WRITABLE
    assert markdown().count("\n") == len(REGISTERS) + 2
    assert "| 0x0c | CONTROL | wo | Bit 0: clear all counters |\n" in markdown()


def test_versions():
    assert pack_version("0.12.3") == 0x00000c03
    with pytest.raises(ValueError, match="invalid literal"):
        pack_version("1.x.0")


def test_geometry_must_fit():
    with pytest.raises(ValueError, match="beyond what registers can tell"):
        Geometry(Tensor(1 << 16, 1, 1, BYTE), 1, 8).words("INPUT")
