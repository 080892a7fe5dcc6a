# amaranth: UnusedElaboratable=no
"""The masters of the memory bus as emitted Verilog, between each other, at a memory of cocotbext-axi."""

import random

import cocotb
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from gen.emit import Emitter
from gen.hw.axi import Top
from gen.hw.svpe.dma import Axi4, Command, Reader, Writer, forwarded
from gen.hw.units import add_unit

from .simulator import run
from .test_units import QUICK

BURST = 16
BASE = 0x34_5678_9ab0


class Copier(wiring.Component):
    """What is read from ``source`` commands is written where ``target`` commands say."""

    unit_name = "copier"

    def __init__(self):
        super().__init__({
            "source": In(stream.Signature(Command())),
            "target": In(stream.Signature(Command())),
            "completed": Out(1), "idle": Out(1), "errors": Out(2),
            "m_axi": Out(Axi4()),
        })

    def elaborate(self, platform):
        m = Module()

        reader = add_unit(m, "reader", Reader(burst=BURST, depth=64), platform)
        writer = add_unit(m, "writer", Writer(burst=BURST), platform)
        connect(m, flipped(self.source), reader.command)
        connect(m, flipped(self.target), writer.command)
        for unit in (reader, writer):
            m.d.comb += [unit.base.eq(BASE), *forwarded(unit.axi, self.m_axi)]
        m.d.comb += [
            writer.data.payload.eq(reader.o.p.data), writer.data.valid.eq(reader.o.valid),
            reader.o.ready.eq(writer.data.ready),
            self.completed.eq(writer.completed), self.idle.eq(reader.idle & writer.idle),
            self.errors.eq(Cat(reader.error, writer.error)),
        ]

        return m


def pauses(seed):
    """Pauses of random length, at random."""
    rng = random.Random(seed)
    while True:
        for pause in (1, 0):
            yield from [pause] * rng.randint(1, 9)


async def start(dut, stall):
    """The memory behind ``dut``, full of random bytes, and what is in it, after a reset."""
    cocotb.start_soon(Clock(dut.ap_clk, 10, unit="ns").start())
    content = bytearray(random.Random(stall).randbytes(1 << 16))
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.ap_clk, dut.ap_rst_n, reset_active_level=False, size=1 << 16)
    ram.write(0, bytes(content))
    if stall:
        channels = (ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel,
                    ram.read_if.ar_channel, ram.read_if.r_channel)
        for seed, channel in enumerate(channels):
            channel.set_pause_generator(pauses(seed))
    dut.source_valid.value, dut.target_valid.value, dut.ap_rst_n.value = 0, 0, 0
    await ClockCycles(dut.ap_clk, 3)
    dut.ap_rst_n.value = 1
    await ClockCycles(dut.ap_clk, 2)
    return ram, content


async def check_bursts(dut, name):
    """Demand that bursts are no longer than they may be, and within 4 KB."""
    while True:
        await RisingEdge(dut.ap_clk)
        valid, ready, address, length = (getattr(dut, f"m_axi_{name}{wire}") for wire in
                                         ("valid", "ready", "addr", "len"))
        if valid.value and ready.value:
            words, place = int(length.value) + 1, int(address.value) % 4096
            assert words <= BURST
            assert place % 16 == 0
            assert place + 16 * words <= 4096


async def command(dut, name, commands):
    payload, valid, ready = (getattr(dut, f"{name}_{wire}") for wire in ("payload", "valid", "ready"))
    for place, words in commands:
        await FallingEdge(dut.ap_clk)
        payload.value, valid.value = words << 40 | 16 * place, 1
        await RisingEdge(dut.ap_clk)
        while not ready.value:
            await RisingEdge(dut.ap_clk)
    await FallingEdge(dut.ap_clk)
    valid.value = 0


def cut(rng, total, begin):
    """Commands of random lengths that make ``total`` words without a gap, but not in order."""
    parts, left = [], total
    while left:
        parts.append(min(left, rng.choice([1, 2, rng.randint(1, 100)])))
        left -= parts[-1]
    places = [begin + sum(parts[:k]) for k in range(len(parts))]
    commands = list(zip(places, parts, strict=True))
    rng.shuffle(commands)
    return commands


def addresses(commands):
    """Addresses of all words, within the memory."""
    return [(BASE + 16 * (place + k)) % (1 << 16) for place, words in commands for k in range(words)]


async def copy(dut, seed, total=900):
    """Copy; returns where every word came from and went to."""
    rng = random.Random(seed)
    sources, targets = cut(rng, total, 0), cut(rng, total, 2000)
    for name, commands in (("source", sources), ("target", targets)):
        cocotb.start_soon(command(dut, name, commands))
    completed = 0
    while completed < len(targets):
        await RisingEdge(dut.ap_clk)
        completed += int(dut.completed.value)
    await FallingEdge(dut.ap_clk)
    assert dut.idle.value
    return zip(addresses(sources), addresses(targets), strict=True)


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(stall=[0, 1])
async def copies(dut, stall):
    ram, content = await start(dut, stall)
    for name in ("ar", "aw"):
        cocotb.start_soon(check_bursts(dut, name))
    for seed in range(3):
        for source, target in await copy(dut, seed):
            content[target:target + 16] = content[source:source + 16]
        assert ram.read(0, 1 << 16) == content
    assert dut.errors.value == 0


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(half=["read_if", "write_if"])
async def errors(dut, half):
    """A memory that refuses one word: the others are where they belong, and the right half tells."""
    ram, content = await start(dut, stall=1)
    refused, port = (BASE + 16 * (345 if half == "read_if" else 2345)) % (1 << 16), getattr(ram, half)
    name = "_read" if half == "read_if" else "_write"
    honest = getattr(port, name)

    async def refuse(address, *arguments):
        if address % (1 << 16) == refused:
            raise ValueError("refused")
        return await honest(address, *arguments)

    setattr(port, name, refuse)
    for source, target in await copy(dut, seed=0):
        if target != refused:
            content[target:target + 16] = bytes(16) if source == refused else content[source:source + 16]
    assert ram.read(0, 1 << 16) == content
    assert dut.errors.value == (1 if half == "read_if" else 2)


def test_masters(tmp_path):
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    top = Emitter(rtl).module(Top(Copier()), "top")
    run(sorted(rtl.glob("*.v")), top, "sim.test_svpe_dma", tmp_path, simulator=QUICK)
