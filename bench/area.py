# amaranth: UnusedElaboratable=no
"""What binary arithmetic takes: ``python -m bench.area`` (``make bench-area``) writes ``docs/bench-area.json``.

Popcounts that end in one number, and a matrix unit, as Yosys synthesises them for UltraScale+, beside what others
published of the same.
"""

import itertools
import pathlib
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from bench.figures import report, row
from gen.bits import BIPOLAR
from gen.emit import Emitter
from gen.folding import Folding
from gen.hw.binary_lane import BinaryLane
from gen.hw.matrix_unit import MatrixUnit
from gen.hw.units import add_unit
from gen.network import Conv, Tensor, Threshold
from gen.synth import synthesise

# LUTs for each XNOR: of compressor trees for FINN that are not part of it, which its matrix units use wrongly from 16
# inputs on; of a tree of adders.
COMPRESSORS, ADDERS, POPCOUNT = {64: 0.97, 128: 0.98, 256: 0.99, 576: 1.00}, 2.2, 0.97
# LUTs of a matrix unit of 64 to 64 channels, a kernel of 4 x 4, 32 filters and 32 channels a clock; weights are in
# block RAMs. The bar is for accumulators in DSPs and weights in block RAMs.
BY_HAND, BY_HLS, UNIT = 2142, 2950, 1300


class Popcount(wiring.Component):
    """A binary lane, and the sum of its rows: agreements of ``x`` and ``w`` as one number."""

    def __init__(self, simd, values=BIPOLAR, wired=False):
        self.lane = BinaryLane(simd, values, wired=wired)
        super().__init__({name: member for name, member in self.lane.signature.members.items() if name in ("x", "w")}
                         | {"count": Out(len(self.lane.row0))})

    def elaborate(self, platform):
        m = Module()

        lane = add_unit(m, "lane", self.lane, platform)
        m.d.comb += lane.x.eq(self.x)
        if not lane.wired:
            m.d.comb += lane.w.eq(self.w)
        count = Signal.like(self.count, name="total", reset_less=True)
        m.d.sync += count.eq(lane.row0 + lane.row1)
        m.d.comb += self.count.eq(count)

        return m


def measured(unit, dsp=True):
    """Resources of ``unit``, and carry blocks of eight bits."""
    with TemporaryDirectory() as folder:
        top = Emitter(pathlib.Path(folder)).module(unit, "top")
        netlist = synthesise(folder, top, dsp)
    return netlist.resources(top), _carries(netlist, top)


def _carries(netlist, name):
    return netlist.cells[name].get("CARRY8", 0) + sum(_carries(netlist, kind) for kind in netlist.parts(name).values())


def popcounts():
    """LUTs and carry blocks for each XNOR, registers of the whole."""
    for simd, published in COMPRESSORS.items():
        found, carries = measured(Popcount(simd))
        each, name = found.lut / simd, f"XNOR popcount of {simd}"
        yield row(name, round(each, 3), "LUT/XNOR", f"{POPCOUNT}; compressors for FINN: {published}, adders: {ADDERS}",
                  "Yosys estimate", each < POPCOUNT)
        yield row(name, round(carries / simd, 3), "CARRY8/XNOR", "", "Yosys estimate", True)
        yield row(name, found.ff, "FF", "", "Yosys estimate", True)
        wired, _ = measured(Popcount(simd, wired=True))
        yield row(f"popcount of {simd}, weights wired", round(wired.lut / simd, 3), "LUT/XNOR", "", "Yosys estimate",
                  wired.lut <= found.lut)


def matrix_unit(dsp, memory):
    """The unit that has been published by hand and from high-level synthesis, with thresholds."""
    rng = np.random.default_rng(1)
    layer = Conv("conv", Tensor(8, 8, 64, BIPOLAR), weights=2 * rng.integers(0, 2, (64, 64, 4, 4)) - 1,
                 weight_values=BIPOLAR)
    limits = 2 * rng.integers(-64, 64, (64, 1))
    threshold = Threshold("threshold", layer.output, thresholds=limits, flip=np.zeros(64, bool), values=BIPOLAR)
    return MatrixUnit(layer, Folding(32, 32, dsp=dsp, memory=memory), threshold=threshold, file="matrix")


def matrix_units():
    """LUTs, registers and blocks of a matrix unit, by where its accumulators and weights are."""
    for dsp, memory in itertools.product((True, False), ("block", "distributed")):
        found, _ = measured(matrix_unit(dsp, memory), dsp)
        name = (f"matrix unit 64 to 64, 4 x 4, 32 x 32, accumulators in {'DSPs' if dsp else 'LUTs'}, "
                f"weights in {'block RAMs' if memory == 'block' else 'LUTs'}")
        judged = dsp and memory == "block"
        yield row(name, found.lut, "LUT", f"{UNIT:,}; by hand: {BY_HAND:,}, HLS: {BY_HLS:,}" if judged else "",
                  "Yosys estimate", not judged or found.lut <= UNIT)
        for unit, amount in (("FF", found.ff), ("DSP", found.dsp), ("BRAM", found.bram)):
            yield row(name, amount, unit, "", "Yosys estimate", True)


PARTS = [popcounts, matrix_units]


def main(
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-area.json"),
):
    """Measure what binary arithmetic takes; some minutes."""
    report([part() for part in PARTS], out)


if __name__ == "__main__":
    typer.run(main)
