"""What units take of the chip when Yosys synthesises them."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from pyosys import libyosys

from .emit import Emitter
from .resources import Resources

__all__ = ["measure"]

# Six-input look-up tables that each cell of Yosys' UltraScale+ library takes.
LUTS = {f"LUT{k}": 1 for k in range(1, 7)} | {
    "SRL16E": 1, "SRLC32E": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8}
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
BLOCKS = {"RAMB18E2": 0.5, "RAMB36E2": 1}


def _resources(cells):
    return Resources(
        lut=sum(LUTS.get(kind, 0) * count for kind, count in cells.items()),
        ff=sum(cells.get(kind, 0) for kind in FLIP_FLOPS),
        bram=sum(BLOCKS.get(kind, 0) * count for kind, count in cells.items()),
        dsp=cells.get("DSP48E2", 0), uram=cells.get("URAM288", 0))


def _total(modules, name):
    """What the module ``name`` takes, and all within it."""
    cells = modules[name]
    return sum((_total(modules, kind) * count for kind, count in cells.items() if kind in modules),
               _resources(cells))


def measure(units):
    """Resources of hardware units, a list, by ``synth_xilinx -family xcup``, module by module."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        emitter = Emitter(out)
        names = [f"unit{number}" for number in range(len(units))]
        for name, unit in zip(names, units, strict=True):
            emitter.module(unit, name)
        instances = "".join(f"(* keep *) {name} i_{name} (.clk(clk), .rst(rst));\n" for name in names)
        (out / "bench.v").write_text(f"module bench(input clk, input rst);\n{instances}endmodule\n")
        design = libyosys.Design()
        # Tell Yosys what the memories tell Vivado: its word for LUTs that are only read is logic.
        for command in (f"read_verilog -defer {out}/*.v", "hierarchy -top bench",
                        'setattr -set rom_style "logic" a:ROM_STYLE=distributed',
                        'setattr -set rom_style "block" a:ROM_STYLE=block',
                        "synth_xilinx -family xcup -top bench -noiopad -noclkbuf"):
            design.run_pass(f"tee -q {command}")
        design.run_pass(f"tee -q -o {out}/cells.json stat -json")
        modules = {name.removeprefix("\\"): module["num_cells_by_type"]
                   for name, module in json.loads((out / "cells.json").read_text())["modules"].items()}
        return [_total(modules, name) for name in names]
