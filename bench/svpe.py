"""What the array takes, and does on AlexNet: ``python -m bench.svpe`` (``make bench-svpe``), ``docs/bench-svpe.json``.

Figures and bars are those of Chen et al. 2020, whose (Pn, Pm) is the number of input and output channels at a time.

* One 3x3 array, that is three chains of three cells of one lane, as Yosys synthesises it, with all that it takes to
  load its weights, which a larger array has once for all its lanes or chains.
* AlexNet's convolutional layers in RTL simulation, memory compared with the golden model's, weights loaded while the
  array works; shapes are the paper's. The simulated memory gives a word a clock, `timing.SIMULATED`.
* The clock model against those simulations, and what it says of the arrays that fill a board, with a memory that is
  slower than the simulated one, and by what the cost model says of their size.

Takes a quarter of an hour on two cores, half of it to simulate the VPE array and the real images.
"""

import pathlib
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import typer

import boards
from bench.figures import report, row
from gen import golden, zoo
from gen.emit import emit_top
from gen.hw.svpe.accelerator import Accelerator
from gen.hw.svpe.cluster import Cluster
from gen.importers import qonnx
from gen.network import Conv, Network, Pool
from gen.solver import SHARE, usable
from gen.svpe import timing
from gen.svpe.compile import compile
from gen.svpe.shape import Shape
from gen.svpe.solver import solve
from gen.synth import measure
from sim import array
from sim.images import frames

LUTS = {("svpe", 1): 353, ("svpe", 2): 280, ("svpe", 3): 307, ("svpe", 4): 334, ("svpe", 5): 346, ("vpe", 16): 41}
DSPS = {"svpe": 3, "luts": 0, "vpe": 12}
KINDS = [*((form, bits) for form in ("svpe", "luts") for bits in range(1, 6)), ("vpe", 16)]

CLOCK = 200e6
SVPE = Shape(chains=24, lanes=32, bits=3, acc_bits=36, chain_words=2048, out_depth=2048, drains=16)  # (8, 32)
VPE = replace(SVPE, form="vpe", chains=12, lanes=16, bits=16, acc_bits=40)  # (4, 16)
PAPER = {"lut": 0.73, "bram": 0.83}  # what it takes of the ZCU102


def arrays(pixel_bits):
    """LUTs, flip-flops and DSPs of each kind of array."""
    shapes = [Shape(chains=3, taps=3, lanes=1, drains=1, form=form, bits=bits, pixel_bits=pixel_bits)
              for form, bits in KINDS]
    for (form, bits), found in zip(KINDS, measure([Cluster(shape) for shape in shapes]), strict=True):
        what = f"3x3 {form}, {bits}-bit weights, {pixel_bits}-bit pixels"
        bar = LUTS.get((form, bits)) if pixel_bits == 16 else None
        yield row(what, found.lut, "LUT", f"{bar}" if bar else "", "Yosys estimate", not bar or found.lut <= bar)
        yield row(what, found.ff, "FF", "", "Yosys estimate", True)
        yield row(what, found.dsp, "DSP", f"{DSPS[form]}", "Yosys estimate", found.dsp <= DSPS[form])


@dataclass(frozen=True)
class Rtl:
    """The Verilog of an array, in a folder where it is simulated."""

    shape: Shape
    folder: pathlib.Path

    @cached_property
    def top(self):
        """Name of its top module, once it is emitted."""
        return emit_top(Accelerator(self.shape, 0), self.shape.label, self.folder / "rtl")[0]

    def run(self, network, inputs, outputs):
        """Clocks of the last of ``inputs``, and what the clock model says; ``outputs`` and all memory must be right."""
        program, work = compile(network, self.shape), self.folder / "sim"
        array.prepare(program, self.shape, inputs, outputs, work, top=self.top)
        found = array.simulate(self.folder / "rtl", work, only="frames")["cycles_per_frame"]
        return found, timing.cycles(program, self.shape, timing.SIMULATED)


def layers(network, images, begin, end):
    """Layers ``begin`` to ``end`` of a network as one, and its inputs and outputs for ``images``."""
    part, taps = network.layers[begin:end], {}
    golden.run(network, images, taps)
    plain = np.ones(part[-1].output.channels)
    inputs = taps[network.layers[begin - 1].name] if begin else images
    return Network(f"{network.name}_{begin}_{end}", part, plain, 0 * plain), inputs, taps[part[-1].name]


def model(what, found, predicted):
    """The clock model's error."""
    error = 100 * abs(predicted.clocks / found - 1)
    return row(f"clock model against RTL simulation, {what}", round(error, 2), "% off", "at most 5",
               "clock model, RTL simulation", error <= 5)


def alexnet(network, images, svpe, vpe):
    """The convolutional layers on the paper's two arrays."""
    convolutions = [k for k, layer in enumerate(network.layers) if isinstance(layer, Conv)]
    for number, k in enumerate(convolutions, 1):
        found, predicted = svpe.run(*array.one_layer(network, network.layers[k].name, images))
        yield row(f"AlexNet conv{number} alone, SVPE (8, 32)", found, "clocks", "", "RTL simulation", True)
        yield model(f"conv{number}", found, predicted)
    found, predicted = svpe.run(*layers(network, images, convolutions[1], None))
    share = round(predicted.macs / (SVPE.chains * SVPE.taps * SVPE.lanes * found), 3)
    yield row("AlexNet conv2-5, SVPE (8, 32)", share, "of the peak", "at least 0.9 (paper: about 0.8)",
              "RTL simulation", share >= 0.9)
    clocks = {}
    for what, here in (("SVPE (8, 32)", svpe), ("VPE (4, 16)", vpe)):
        clocks[what], predicted = here.run(*layers(network, images, 0, None))
        yield row(f"AlexNet conv1-5, {what}", clocks[what], "clocks", "", "RTL simulation", True)
        rate = 2 * predicted.macs / clocks[what] * CLOCK / 1e9
        yield row(f"AlexNet conv1-5, {what}, 200 MHz", round(rate, 1), "GOP/s", "", "RTL simulation", True)
        yield model(f"conv1-5, {what}", clocks[what], predicted)
    faster = round(clocks["VPE (4, 16)"] / clocks["SVPE (8, 32)"], 2)
    yield row("AlexNet conv1-5, SVPE (8, 32) against VPE (4, 16), which take 768 DSPs each in the paper", faster,
              "times", "at least 2.9 (paper: 2.88)", "RTL simulation", faster >= 2.9)
    all_dsps = timing.cycles(compile(network, wide := replace(VPE, chains=16)), wide, timing.SIMULATED).clocks
    yield row("the same, against a VPE of 16 chains and 16 lanes, whose cells are 768 DSPs here",
              round(all_dsps / clocks["SVPE (8, 32)"], 2), "times", "", "RTL simulation, clock model", True)


def others(data, rtl):
    """Networks with real images on the (8, 32) array."""
    for net in ("resnet20", "tbqnn"):
        network = qonnx.load(zoo.find(net))
        images, _, source = frames(network, 2, data)
        found, predicted = rtl.run(network, images, golden.run(network, images))
        yield row(f"{net}, {source}, memory after each as the golden model's", len(images), "images", "bit-exact",
                  "RTL simulation", True)
        yield row(f"{net}, SVPE (8, 32)", found, "clocks", "", "RTL simulation", True)
        yield model(net, found, predicted)


def boards_full(network):
    """The best arrays that the solver finds for AlexNet's convolutional layers on a ZCU102."""
    board = boards.find("zcu102")
    shares = {name: getattr(board.budget, name) * share / getattr(SHARE, name) for name, share in PAPER.items()}
    paper = SimpleNamespace(device=board.device, dsp_column=board.dsp_column, budget=replace(board.budget, **shares))
    rates = []
    for what, here, form in (("in the paper's 73 % of LUTs and 83 % of BRAM", paper, "svpe"),
                             ("in what builds may take of it", board, "svpe"),
                             ("in what builds may take of it", board, "vpe")):
        plan = solve(network, here, CLOCK, form)
        rates.append(rate := 2 * plan.timing.macs * plan.rate / 1e9)
        room = dict(usable(here.budget).items())
        limit = max((amount / room[name], name) for name, amount in plan.cost.items() if amount)[1]
        takes = ", ".join(f"{amount / getattr(board.budget, name):.0%} of {name.upper()}"
                          for name, amount in plan.cost.items() if amount)
        shape = f"{plan.shape.chains} chains x {plan.shape.taps} cells x {plan.shape.lanes} lanes"
        first = here is paper
        yield row(f"AlexNet conv1-5, best {form} for a ZCU102 {what}, 200 MHz: {shape}; {takes}; closest to its limit: "
                  f"{limit.upper()}", round(rate, 1), "GOP/s", "at least 1,000 (paper: 957)" if first else "",
                  "clock model, cost model", not first or rate >= 1000)
    yield row("AlexNet conv1-5, the best svpe against the best vpe for a ZCU102", round(rates[1] / rates[2], 2),
              "times", "", "clock model, cost model", True)


def figures(data):
    """All of them, the quickest first; AlexNet's clocks do not depend on what is on the image."""
    network, images = qonnx.load(zoo.find("alexnet")), np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3), "u1")
    last = max(k for k, layer in enumerate(network.layers) if isinstance(layer, Pool))
    network = layers(network, images, 0, last + 1)[0]
    yield boards_full(network)
    yield from map(arrays, (16, 17))
    with tempfile.TemporaryDirectory() as folder:
        svpe, vpe = Rtl(SVPE, pathlib.Path(folder, "svpe")), Rtl(VPE, pathlib.Path(folder, "vpe"))
        yield alexnet(network, images, svpe, vpe)
        yield others(data, svpe)


def main(
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-svpe.json"),
    data: Annotated[str, typer.Option(envvar="BNN_DATA", help="Folder of the data sets.")] = "",
):
    """Measure what arrays take, and what they do; a quarter of an hour."""
    report(figures(data), out)


if __name__ == "__main__":
    typer.run(main)
