# amaranth: UnusedElaboratable=no

import random

import pytest

from gen.hw.registers import markdown
from gen.hw.svpe.registers import ERRORS, EVENTS, OFFSETS, REGISTERS, RegisterFile

from . import streams
from .test_registers import OKAY, SLVERR, channels, word

CONSTANTS = {"IDENTITY": 0x53565045, "VERSION": 0x00010203, "BUILD": 0xdeadbeef}


def registers():
    return RegisterFile(version="1.2.3", build=0xdeadbeef)


class Host:
    """What reads and writes by the name of a register, and what plays the array."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut, self.axi = ctx, dut, channels(dut.axi)

    async def read(self, name):
        await streams.put(self.ctx, self.axi.ar, OFFSETS[name])
        return await streams.get(self.ctx, self.axi.r)

    async def write(self, name, data, strobe=0b1111):
        await streams.put(self.ctx, self.axi.aw, OFFSETS[name])
        await streams.put(self.ctx, self.axi.w, word(data, strobe))
        return await streams.get(self.ctx, self.axi.b)

    async def run(self, cycles, *names):
        """The array works for some cycles, if it has been started; every event of ``names`` in all of them."""
        self.ctx.set(self.dut.events, {name: name in names for name in EVENTS})
        await self.ctx.tick().repeat(cycles)
        self.ctx.set(self.dut.events, dict.fromkeys(EVENTS, 0))

    async def counts(self):
        return {name: await self.read(name.upper()) for name in (*EVENTS, "runs")}


def drive(script):
    """Run ``script(host, ctx, dut, runs)``; the array is busy from each start until its status is set.

    ``runs`` has the base and the busy clocks of each.
    """
    dut, runs = registers(), []

    async def array(ctx):
        while True:
            *_, start, busy = await ctx.tick().sample(dut.start, dut.status.busy)
            assert not (start and busy)
            if start:
                runs.append([ctx.get(dut.base), 0])
                ctx.set(dut.status, {"busy": 1})
            elif busy:
                runs[-1][1] += 1

    async def bench(ctx):
        await script(Host(ctx, dut), ctx, dut, runs)

    streams.simulate(dut, [bench], [array])


async def finish(ctx, dut):
    ctx.set(dut.status, {"done": 1})
    await ctx.tick().repeat(2)


@pytest.mark.parametrize("stall", [0, 0.5])
def test_reads_and_writes(stall):
    rng, dut = random.Random(1), registers()
    writable = {register.offset for register in REGISTERS if register.access != "ro"}
    assert writable == {OFFSETS[name] for name in ("CONTROL", "ERRORS", "BASE_LOW", "BASE_HIGH")}
    known = {OFFSETS[name]: value for name, value in CONSTANTS.items()}
    reads = [rng.choice([*known, 0x14, 0x44, 0xffc]) for _ in range(100)]
    writes = [rng.choice([*OFFSETS.values(), 0x14, 0xffc]) for _ in range(100)]
    axi = channels(dut.axi)
    responses, words = streams.exchange(
        dut, [(axi.aw, writes), (axi.w, [word(rng.getrandbits(32)) for _ in writes]), (axi.ar, reads)],
        [(axi.b, len(writes)), (axi.r, len(reads))], stall=stall)
    assert responses == [OKAY if address in writable else SLVERR for address in writes]
    assert words == [known[address] | OKAY << 32 if address in known else SLVERR << 32 for address in reads]


def test_base_counts_from_the_next_start_on():
    async def script(host, ctx, dut, runs):
        await host.write("BASE_LOW", 0x12345670)
        await host.write("BASE_HIGH", 0xab)
        await host.write("CONTROL", 1)
        await host.write("BASE_LOW", 0xffff_8765, strobe=0b0011)
        assert await host.read("BASE_LOW") == 0x12348765
        assert ctx.get(dut.base) == 0xab_12345670
        await finish(ctx, dut)
        await host.write("CONTROL", 1)
        assert [base for base, _ in runs] == [0xab_12345670, 0xab_12348765]

    drive(script)


def test_start_while_busy_is_an_error():
    async def script(host, ctx, dut, runs):
        await host.write("CONTROL", 2)
        await host.write("CONTROL", 1, strobe=0b1110)
        assert await host.read("STATUS") == 0
        await host.write("CONTROL", 1)
        assert await host.read("STATUS") == 1
        assert await host.read("ERRORS") == 0
        await host.write("CONTROL", 1)
        assert await host.read("ERRORS") == 1
        await finish(ctx, dut)
        assert await host.read("STATUS") == 2
        await host.write("ERRORS", 1)
        assert await host.read("ERRORS") == 0
        assert len(runs) == 1

    drive(script)


@pytest.mark.parametrize("name", ERRORS)
def test_errors_stick_until_cleared(name):
    async def script(host, ctx, dut, runs):
        bit = 2 << ERRORS.index(name)
        ctx.set(dut.errors, {name: 1})
        await ctx.tick()
        ctx.set(dut.errors, {name: 0})
        await host.write("CONTROL", 2)
        assert await host.read("ERRORS") == bit
        await host.write("ERRORS", ~bit & 0xffff_ffff)
        assert await host.read("ERRORS") == bit
        await host.write("ERRORS", bit)
        assert await host.read("ERRORS") == 0

    drive(script)


@pytest.mark.parametrize("event", EVENTS)
def test_events_of_a_run_are_counted(event):
    async def script(host, ctx, dut, runs):
        nothing = dict.fromkeys((*EVENTS, "runs"), 0)
        for run, cycles in ((1, 9), (2, 5)):
            await host.run(20, event)  # does not count: not busy
            before = await host.counts()
            assert before == nothing if run == 1 else before == nothing | {event: 9, "runs": 1}
            await host.write("CONTROL", 1)
            await host.run(cycles, event)
            await finish(ctx, dut)
            assert await host.counts() == nothing | {event: cycles, "runs": run}
        await host.write("CONTROL", 2, strobe=0b1110)
        assert await host.read(event.upper()) == 5
        await host.write("CONTROL", 2)
        assert await host.counts() == nothing

    drive(script)


@pytest.mark.parametrize("cycles", [1, 7, 300])
def test_cycles_from_start_to_done(cycles):
    async def script(host, ctx, dut, runs):
        for _ in range(2):
            await host.write("CONTROL", 1)
            await ctx.tick().repeat(cycles)
            await finish(ctx, dut)
            for _ in range(2):
                assert await host.read("CYCLES") == runs[-1][1] >= cycles
                assert await host.read("CYCLES_HIGH") == 0

    drive(script)


class Restless(RegisterFile):
    """Planted: clocks are counted between runs, too."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.cycles.eq(self.cycles + 1)
        return m


def test_clocks_between_runs_are_found(monkeypatch):
    monkeypatch.setattr(f"{__name__}.RegisterFile", Restless)
    with pytest.raises(AssertionError):
        test_cycles_from_start_to_done(5)


def test_many_cycles():
    async def script(host, ctx, dut, runs):
        await host.write("CONTROL", 1)
        ctx.set(dut.cycles, 2 ** 32 - 3)
        await ctx.tick().repeat(100)
        await finish(ctx, dut)
        assert await host.read("CYCLES") == 97 + 1
        assert await host.read("CYCLES_HIGH") == 1

    drive(script)


def test_table():
    assert len(set(OFFSETS.values())) == len(OFFSETS) == len(REGISTERS)
    assert all(register.offset % 4 == 0 for register in REGISTERS)
    assert markdown(REGISTERS).count("\n") == len(REGISTERS) + 2
    assert "| 0x18 | BASE_LOW | rw | Address of the image, low word" in markdown(REGISTERS)
