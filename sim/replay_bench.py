"""cocotb test of any unit: clock by clock, ``$POPWEAVE_BENCH`` says what to put in and what comes out.

The file holds a list of JSON objects, one a clock: ``inputs`` and ``outputs``, hexadecimal, by port.
"""

import json
import os
import pathlib

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

CLOCKS = json.loads(pathlib.Path(os.environ["POPWEAVE_BENCH"]).read_text())


@cocotb.test()
async def replay(dut):
    for name in CLOCKS[0]["inputs"]:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    cocotb.start_soon(Clock(dut.clk, 4, unit="ns").start())
    await ClockCycles(dut.clk, 3)
    for number, clock in enumerate(CLOCKS):
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        for name, value in clock["inputs"].items():
            getattr(dut, name).value = int(value, 16)
        await RisingEdge(dut.clk)
        for name, value in clock["outputs"].items():
            found = getattr(dut, name).value
            assert found == int(value, 16), f"clock {number}: {name} is {found}, not {value}"
