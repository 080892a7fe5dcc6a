"""cocotb tests of one unit with streams ``i`` and ``o``: what comes out is what ``$POPWEAVE_BENCH`` says.

The file holds JSON: ``payloads`` to put in and the ``expected`` ones, hexadecimal.
"""

import json
import os
import pathlib
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

BENCH = json.loads(pathlib.Path(os.environ["POPWEAVE_BENCH"]).read_text())
PAYLOADS, EXPECTED = ([int(word, 16) for word in BENCH[key]] for key in ("payloads", "expected"))


class Port:
    """The three wires of a stream."""

    def __init__(self, dut, name):
        self.payload, self.valid, self.ready = (getattr(dut, f"{name}__{wire}")
                                                for wire in ("payload", "valid", "ready"))


async def start(dut):
    """Clock and reset; both sides idle."""
    cocotb.start_soon(Clock(dut.clk, 4, unit="ns").start())
    await reset(dut)


async def reset(dut):
    dut.i__valid.value, dut.o__ready.value, dut.rst.value = 0, 0, 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0


async def feed(dut, payloads, rng, stall):
    port = Port(dut, "i")
    for payload in payloads:
        await FallingEdge(dut.clk)
        while rng.random() < stall:
            await FallingEdge(dut.clk)
        port.payload.value, port.valid.value = payload, 1
        await RisingEdge(dut.clk)
        while not port.ready.value:
            await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        port.valid.value = 0


async def drain(dut, count, rng, stall):
    """Take payloads, demanding that an offered one is neither withdrawn nor changed."""
    port, taken, held = Port(dut, "o"), [], None
    while len(taken) < count:
        await FallingEdge(dut.clk)
        port.ready.value = rng.random() >= stall
        await RisingEdge(dut.clk)
        payload = int(port.payload.value) if port.valid.value else None
        assert held is None or payload == held, f"payload {len(taken)} was offered, then withdrawn or changed"
        held = payload
        if payload is not None and port.ready.value:
            assert payload == EXPECTED[len(taken)], f"payload {len(taken)}: {payload:x}, not {EXPECTED[len(taken)]:x}"
            taken.append(payload)
            held = None
    port.ready.value = 1
    for _ in range(50):
        await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        assert not port.valid.value, f"{count} payloads were expected, there are more"


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
async def under_stalls(dut, stall):
    rng = random.Random(str(stall))
    await start(dut)
    cocotb.start_soon(feed(dut, PAYLOADS, rng, stall[0]))
    await drain(dut, len(EXPECTED), rng, stall[1])


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_midway(dut):
    rng = random.Random(0)
    await start(dut)
    for cut in (len(PAYLOADS) // 2, len(PAYLOADS) // 3 + 1):
        feeder = cocotb.start_soon(feed(dut, PAYLOADS, rng, 0))
        await ClockCycles(dut.clk, 2 * cut)
        feeder.cancel()
        await reset(dut)
    cocotb.start_soon(feed(dut, PAYLOADS, rng, 0))
    await drain(dut, len(EXPECTED), rng, 0)
