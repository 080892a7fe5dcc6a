"""Energy of an array: ``python -m bench.energy`` (``make bench-energy``) writes ``docs/bench-energy.json``.

One 3x3 array of each kind, as Yosys maps it to cells of UltraScale+, is simulated cell by cell on channels of a network
that shows what its layers pass on; both kinds do nine multiply-accumulates a clock. This is an estimate: it counts how
often each net toggles and weighs that by the constants below, which are assumptions and no measurement. The unit is
what a toggle of a routed net takes, however far it reaches. Not counted: glitches, static power, memories, clock trees,
and the clock within DSPs. What a multiplier takes is the least known, so that there are several figures: for a toggle
of its operands several weights; and for a factor that is a power of two as much as for any other, or less as its
partial products are fewer. Nothing here passes or fails.
"""

import json
import pathlib
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pyosys
import typer
from pyosys import libyosys

from bench.figures import report, row
from gen import golden
from gen.emit import Emitter
from gen.hw.svpe.cluster import Cluster
from gen.hw.vendor import MODELS
from gen.importers import qonnx
from gen.svpe.shape import Shape
from gen.zoo import find
from sim import simulator
from sim.images import frames
from sim.saif import toggles

NET, LAYERS = "tbqnn", ("conv1_1_rescale", "conv1_2_rescale")  # untrained; what it passes to its 3x3 convolutions
PASSES, SIZE = 8, 32  # each with other weights, over a channel of so many rows and columns
KINDS = [*((form, bits) for form in ("svpe", "luts") for bits in range(1, 6)), ("vpe", 16)]
PAPER = "0.69 in the paper, modelled"  # Chen et al. 2020

# What a toggle takes, in that of a routed net: of a net within a slice, a DSP column or a DSP's adder; of the clock of
# a flip-flop, each period; of an operand of a DSP's multiplier.
LOCAL, CLOCK, MULTIPLIER = 0.25, 0.05, (2, 4, 8)
FLIP_FLOPS, CARRY = ("FDRE", "FDSE"), ("CARRY4", "CARRY8")
WITHIN = {*((kind, "D") for kind in FLIP_FLOPS), *((kind, pin) for kind in CARRY for pin in ("S", "CI"))}


def pixels():
    """Channels of a network's activations, 16 bits, with zeros around each, and whose images they are."""
    network, taps = qonnx.load(find(NET)), {}
    images, _, source = frames(network, 1)
    golden.run(network, images, taps)
    channels = np.concatenate([taps[name][0].transpose(2, 0, 1) for name in LAYERS])
    return np.pad(np.minimum(channels.astype(np.int64), 0x7fff), ((0, 0), (1, 1), (1, 1))), source


def weights(values, count, rng):
    """Gaussian weights, rounded to ``values``; the largest one is four times the deviation."""
    real = np.clip(rng.normal(size=count) / 4, -1, 1)
    if not hasattr(values, "count"):
        return np.where(real < 0, -1, 1) if values.bipolar else np.rint(real * values.hi).astype(np.int64)
    limits = 0.14 * 0.5 ** np.arange(values.count)  # those of n-BQ-NN
    limits[-1] *= 4 / 7
    return np.sign(real).astype(np.int64) * (1 << (abs(real)[..., None] >= limits[::-1]).sum(-1) >> 1)


def partial_products(factors):
    """How many a multiplier adds up for each factor, on average: digits of Booth's recoding to base 4 but 0."""
    digits = np.asarray(factors)[..., None] << 1 >> np.arange(0, 18, 2) & 7
    return ((digits > 0) & (digits < 7)).sum(-1).mean()


def clocks(dut, channels, passes):
    """What to put into an array, and which sums come out: clock by clock, for :mod:`sim.replay_bench`.

    ``channels`` and ``passes`` are, for each pass, its pixels and its weights.
    """
    shape, slots, first = dut.shape, SIZE * SIZE, 32
    delays = np.array([dut.skew * r + t for r in range(3) for t in range(3)])
    end = first + PASSES * slots
    x, swap = (np.zeros((end + 32, 9), np.int64) for _ in range(2))
    log = [{"inputs": {"start": 0, "weights__valid": 0}, "outputs": {}} for _ in range(end + 32)]
    for number, (channel, factors) in enumerate(zip(channels, passes, strict=True)):
        begin = first + number * slots
        windows = np.lib.stride_tricks.sliding_window_view(channel, (3, 3)).reshape(slots, 9)
        for cell, delay in enumerate(delays):
            x[begin + delay:begin + delay + slots, cell] = windows[:, cell]
            swap[begin + delay - 1, cell] = 1
            load = begin - (slots - 8 if number else first - 8) + cell
            log[load]["inputs"] |= {"weights__valid": 1, "weights__payload": int(shape.weights.encode(factors)[cell])}
            log[load]["outputs"]["weights__ready"] = 1
        log[begin - 2]["inputs"]["start"] = 1
        for slot, total in enumerate(windows @ factors):
            log[begin + slot + dut.latency]["outputs"]["sums"] = int(total) & (1 << dut.sum_bits) - 1
    for entry, values, swaps in zip(log, x, swap, strict=True):
        entry["inputs"]["x"] = sum(int(value) << 16 * cell for cell, value in enumerate(values))
        entry["inputs"]["swap"] = sum(int(bit) << cell for cell, bit in enumerate(swaps))
    return [{side: {name: f"{value:x}" for name, value in ports.items()} for side, ports in entry.items()}
            for entry in log]


def mapped(dut, folder):
    """Map an array to cells: writes ``netlist.v``, and returns module ``array`` as Yosys' JSON has it."""
    Emitter(folder).module(dut, "array")
    design = libyosys.Design()
    for command in (
            f"read_verilog -lib {' '.join(map(str, MODELS))}", f"read_verilog -defer {folder}/*.v",
            "synth_xilinx -family xcup -top array -flatten -noiopad -noclkbuf", "check -assert", "opt_clean -purge",
            "splitnets", "rename -hide w:*", "rename -enumerate -pattern n%",  # names that no tool has to escape
            f"write_verilog -noattr {folder}/netlist.v", f"write_json {folder}/netlist.json"):
        design.run_pass(f"tee -q {command}")
    return json.loads((folder / "netlist.json").read_text())["modules"]["array"]


@dataclass
class Toggles:
    """Toggles a multiply-accumulate: weighted ones of all but multipliers, and those of the multipliers' operands."""

    nets: float
    operands: float
    products: float  # partial ones

    def energy(self, multiplier):
        """In that of a routed net's toggle, an operand's being ``multiplier``."""
        return self.nets + multiplier * self.operands


def weigh(module, found, periods):
    """Weighted toggles of a netlist whose nets toggle as ``found`` says, and those of multipliers' operands."""
    names = {bit: port for port, wire in module["netnames"].items() if len(wire["bits"]) == 1 for bit in wire["bits"]}
    names |= {bit: f"{port}[{k}]" for port, wire in module["ports"].items() if len(wire["bits"]) > 1
              for k, bit in enumerate(wire["bits"])}
    cells, drivers, readers = module["cells"].values(), {}, defaultdict(set)
    for cell in cells:
        for pin, bits in cell["connections"].items():
            for bit in bits:
                if cell["port_directions"][pin] == "output":
                    drivers[bit] = cell["type"], pin
                else:
                    readers[bit].add((cell["type"], pin))
    outputs = {bit for wire in module["ports"].values() if wire["direction"] == "output" for bit in wire["bits"]}

    def weight(bit):
        kind, pin = drivers.get(bit, ("", ""))
        routed = bit in outputs or kind in ("", "DSP48E2", *FLIP_FLOPS) or not readers[bit] <= WITHIN
        return LOCAL if pin == "PCOUT" or kind in CARRY or not routed else 1

    def at(*pins):
        return sum(found[names[bit]] for cell in cells if cell["type"] == "DSP48E2" for pin in pins
                   for bit in cell["connections"][pin] if bit in names)

    nets = sum(weight(bit) * found[name] for bit, name in names.items()
               if name != "clk" and (readers[bit] or bit in outputs))
    registers = sum(cell["type"] in FLIP_FLOPS for cell in cells)
    return nets + LOCAL * at("C", "PCIN", "P") + CLOCK * registers * periods, at("A", "B")


def measure(form, bits, channels):
    """:class:`Toggles` of one kind of array; its sums are right in every slot, or the bench fails."""
    dut = Cluster(Shape(chains=3, taps=3, lanes=1, drains=1, form=form, bits=bits, pixel_bits=16))
    rng = np.random.default_rng(1)
    chosen, factors = rng.permutation(channels)[:PASSES], weights(dut.shape.weights, (PASSES, 9), rng)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        module = mapped(dut, folder)
        log, bench = clocks(dut, chosen, factors), folder / "bench.json"
        bench.write_text(json.dumps(log))
        cells = pathlib.Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v"
        simulator.run([folder / "netlist.v"], "array", "sim.replay_bench", folder / "sim", saif=True,
                      arguments=["-v", str(cells), "-Wno-SPECIFYIGN", "-Wno-INITIALDLY", "-Wno-UNOPTFLAT"],
                      environment={"POPWEAVE_BENCH": str(bench)})
        found = toggles(folder / "sim" / "array.saif", "array")
    nets, operands = (count / (PASSES * SIZE * SIZE * 9) for count in weigh(module, found, len(log)))
    return Toggles(nets, operands, partial_products(factors if form == "vpe" else factors[:, 2::3]))


def figures():
    """Toggles of every kind of array, and its energy to that of multipliers."""
    channels, source = pixels()
    stage = f"toggles of the mapped netlist, {NET} on {source}"
    found = {kind: measure(*kind, channels) for kind in KINDS}
    base = found["vpe", 16]
    for (form, bits), counts in found.items():
        what = f"3x3 {form}, {bits}-bit weights"
        yield row(f"{what}: nets, adders in DSPs, clocks", round(counts.nets, 1), "toggles/MAC", "", stage, True)
        yield row(f"{what}: operands of multipliers", round(counts.operands, 1), "toggles/MAC", "", stage, True)
        if form != "vpe":
            yield from compared(what, counts, base, PAPER if form == "svpe" else "")


def compared(what, counts, base, paper):
    """Energy to that of multipliers, by what these are taken to need; and where both are even, below 0 if nowhere."""
    fewer = replace(counts, operands=counts.operands * counts.products / base.products)
    for multiplier in MULTIPLIER:
        for case, how in ((counts, ""), (fewer, ", fewer for fewer partial products")):
            if how == "" or counts.operands:
                yield row(f"{what}: energy to that of vpe, a multiplier's operand being {multiplier}{how}",
                          round(case.energy(multiplier) / base.energy(multiplier), 2), "x", paper, "estimate", True)
    even = (counts.nets - base.nets) / (base.operands - counts.operands)
    yield row(f"{what}: takes as much as vpe if a multiplier's operand is", round(even, 1), "nets", "", "estimate",
              True)


def main(
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-energy.json"),
):
    """Estimate what arrays take; some minutes."""
    report([figures()], out)


if __name__ == "__main__":
    typer.run(main)
