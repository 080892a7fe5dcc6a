"""cocotb tests of an array accelerator on its emitted Verilog: memory after a run, byte for byte.

``$POPWEAVE_BENCH`` names the folder in which :mod:`sim.array` has left ``bench.json`` and ``memory.npz`` (see there).
"""

import json
import logging
import os
import pathlib
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus

from gen.hw.svpe.registers import ERRORS, EVENTS, MAGIC, OFFSETS

FOLDER = pathlib.Path(os.environ["POPWEAVE_BENCH"])
BENCH = json.loads((FOLDER / "bench.json").read_text())
with np.load(FOLDER / "memory.npz") as arrays:
    BEFORE, AFTER = arrays["before"], arrays["after"]
PERIOD = 5  # ns
BASE = 0x10_0000  # of the image in memory
BUSY, DONE = 1, 2
STARTED_WHILE_BUSY = 1


class Bench:
    """The accelerator with its memory and a register port, reset and ready."""

    def __init__(self, dut):
        self.dut, self.memory = dut, bytearray(BASE + len(BEFORE[0]))
        clock, options = dut.ap_clk, {"reset_active_level": False, "mem": self.memory}
        self.features = AxiRam(AxiBus.from_prefix(dut, "m_axi_features"), clock, dut.ap_rst_n, **options)
        self.readers = {"load": self.features.read_if} | {
            name: AxiRamRead(AxiReadBus.from_prefix(dut, f"m_axi_{name}"), clock, dut.ap_rst_n, **options)
            for name in ("program", "weights")}
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), clock, dut.ap_rst_n, False)
        for part in (*self.readers.values(), self.features.write_if, self.registers.write_if, self.registers.read_if):
            part.log.setLevel(logging.WARNING)

    @classmethod
    async def start(cls, dut):
        cocotb.start_soon(Clock(dut.ap_clk, PERIOD, unit="ns").start())
        bench = cls(dut)
        dut.ap_rst_n.value = 0
        await ClockCycles(dut.ap_clk, 4)
        dut.ap_rst_n.value = 1
        await ClockCycles(dut.ap_clk, 4)
        assert await bench.read("IDENTITY") == MAGIC
        assert await bench.read("BUILD") == BENCH["build"]
        await bench.write("BASE_LOW", BASE)
        return bench

    async def read(self, name):
        return await self.registers.read_dword(OFFSETS[name])

    async def write(self, name, value):
        await self.registers.write_dword(OFFSETS[name], value)

    def load(self, frame):
        """Prepare memory for a frame."""
        self.memory[BASE:] = BEFORE[frame].tobytes()

    def stall(self, chance):
        """Let every channel of the memory pause in a cycle by ``chance``."""
        write = self.features.write_if
        channels = [write.aw_channel, write.w_channel, write.b_channel]
        channels += [channel for port in self.readers.values() for channel in (port.ar_channel, port.r_channel)]
        for seed, channel in enumerate(channels):
            channel.set_pause_generator(_pauses(chance, seed))

    async def run(self):
        """Start, and wait until the accelerator is no longer busy; returns its status."""
        await self.write("CONTROL", 1)
        return await self.finish()

    async def finish(self):
        for _ in range(BENCH["patience"] // 100):
            status = await self.read("STATUS")
            if not status & BUSY:
                return status
            await ClockCycles(self.dut.ap_clk, 100)
        raise AssertionError(f"still busy after {BENCH['patience']} cycles")

    async def succeed(self, frame):
        """Run on a frame, and demand that all is well."""
        self.load(frame)
        status = await self.run()
        assert status == DONE, f"status {status}, errors {await self.read('ERRORS'):#b}"
        self.check(frame)

    def check(self, frame):
        """Demand that memory is what the model says; otherwise name the first layer that stored something else."""
        found, expected = np.frombuffer(self.memory, np.uint8)[BASE:], AFTER[frame]
        wrong = np.flatnonzero(found != expected)
        if len(wrong):
            layer, start = max(((layer, start) for layer, start in BENCH["stores"] if start <= wrong[0]),
                               key=lambda store: store[1], default=("the input", 0))
            raise AssertionError(f"{len(wrong)} bytes differ, the first {wrong[0] - start} bytes behind where {layer} "
                                 f"begins to store")


def _pauses(chance, seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() < chance


@cocotb.test
async def frames(dut):
    """Frame after frame, memory without stalls."""
    bench, cycles = await Bench.start(dut), []
    for frame in range(len(BEFORE)):
        await bench.succeed(frame)
        cycles.append(await bench.read("CYCLES") + (await bench.read("CYCLES_HIGH") << 32))
    assert await bench.read("RUNS") == len(BEFORE)
    assert await bench.read("ERRORS") == 0
    counters = {name: await bench.read(name.upper()) for name in EVENTS}
    (FOLDER / "result.json").write_text(json.dumps({"cycles_per_frame": cycles[-1], "events": counters}))


@cocotb.test
async def stalls(dut):
    """Pauses on every channel of every bus."""
    bench = await Bench.start(dut)
    bench.stall(0.3)
    await bench.succeed(0)


@cocotb.test
@cocotb.parametrize(bus=["program", "load", "weights", "drain"])
async def bus_errors(dut, bus):
    """A bus that answers with an error once: said, nothing hangs, and the next run is right."""
    bench = await Bench.start(dut)
    port, name = (bench.features.write_if, "_write") if bus == "drain" else (bench.readers[bus], "_read")
    honest, calls = getattr(port, name), 0

    async def refuse(*arguments):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ValueError("refused")
        return await honest(*arguments)

    setattr(port, name, refuse)
    bench.load(0)
    assert not await bench.run() & DONE
    assert await bench.read("ERRORS") == 2 << ERRORS.index(bus)
    await bench.write("ERRORS", 0xff)
    await bench.succeed(0)
    assert await bench.read("ERRORS") == 0


@cocotb.test
async def mistakes(dut):
    """A program for other hardware and a record that is none are refused, a start while busy is reported."""
    bench = await Bench.start(dut)
    for place, error in ((8, "foreign"), (32, "invalid")):
        bench.load(0)
        bench.memory[BASE + place] ^= 0xff
        assert not await bench.run() & DONE
        assert await bench.read("ERRORS") == 2 << ERRORS.index(error)
        await bench.write("ERRORS", 0xff)
    bench.load(0)
    await bench.write("CONTROL", 1)
    await bench.write("CONTROL", 1)
    assert await bench.finish() == DONE
    bench.check(0)
    assert await bench.read("ERRORS") == STARTED_WHILE_BUSY
