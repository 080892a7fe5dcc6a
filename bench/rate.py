"""What a LUT gives: ``python -m bench.rate`` (``make bench-rate``) writes ``docs/bench-rate.json``.

The fastest designs of two networks in RTL simulation on real images, and what they take of the chip: bvgg16 on a
ZCU102, and cnv within what BNN-PYNQ's own design of it takes of a Z7020.
"""

import pathlib
import tempfile
from dataclasses import dataclass, replace
from typing import Annotated

import typer

import boards
from bench.figures import report, row
from gen import memory_cost
from gen.cost import weight_memory
from gen.folding import work
from gen.importers import qonnx
from gen.network import Conv
from gen.plan import Plan
from gen.resources import Resources
from gen.solver import SHARE, solve, usable
from gen.synth import compare
from gen.zoo import find
from sim.images import frames
from sim.run import prepare, simulate

FRAMES = 10
PEER = Resources(lut=26_072, bram=124, dsp=24)  # of BNN-PYNQ's cnvW1A1 on a Z7020, which gives 3,052 frames/s
SIMULATED = "RTL simulation, clock assumed"


@dataclass(frozen=True)
class Design:
    """A network's fastest design for a chip, and what has been measured of it.

    Parameters
    ----------
    plan : Plan
    limits : Resources
        What it may take.
    source : str
        Where the images come from.
    cycles : int
        Clock cycles from a frame to the next in steady state.
    latency : int
        Clock cycles from the first pixel of the first frame to its result.
    costs : dict
        What it takes, by who says so.
    """

    plan: Plan
    limits: Resources
    source: str
    cycles: int
    latency: int
    costs: dict

    @property
    def name(self):
        """The network's."""
        return self.plan.network.name

    @property
    def products(self):
        """The stages that multiply."""
        return [stage for stage in self.plan.stages if isinstance(stage.layer, Conv)]

    @property
    def macs(self):
        """Products a frame."""
        return sum(stage.layer.output.positions * stage.layer.weights.size for stage in self.products)

    @property
    def busy(self):
        """Share of the matrix units' LUTs times clocks in which they work."""
        units = [(stage.units[f"{stage.name}_matrix"].lut, work(stage.layer, stage.folding)) for stage in self.products]
        return sum(lut * clocks for lut, clocks in units) / (self.cycles * sum(lut for lut, _ in units))


def design(net, board, budget, synth):
    """The fastest :class:`Design` of ``net`` for ``board`` that the solver finds within its share of ``budget``.

    Raises
    ------
    RuntimeError
        Frames are not bit-exact.
    """
    platform, network = boards.find(board), qonnx.load(find(net))
    foldings = solve(network, budget, platform.fabric_clock, dsp48e2=boards.dsp48e2(platform))
    return measured(Plan(network, platform, platform.fabric_clock, foldings), budget, synth)


def measured(plan, budget, synth):
    """Simulate ``plan``, and synthesise it, too, if so wanted; the :class:`Design`."""
    images, _, source = frames(plan.network, FRAMES)
    costs = {"cost model": plan.cost}
    with tempfile.TemporaryDirectory() as folder:
        rtl, bench = pathlib.Path(folder, "rtl"), pathlib.Path(folder, "sim")
        plan.emit(rtl, 0)
        prepare(plan.network, plan.foldings, images, bench)
        result = simulate(rtl, bench, only=r"\bframes$")
        if synth:
            costs["Yosys estimate"] = sum((yosys for _, yosys in compare(plan, rtl).values()), Resources())
    return Design(plan, usable(budget), source, result["cycles_per_frame"], result["latency_cycles"], costs)


def simulation(found):
    """That frames are bit-exact, and how many cycles they take."""
    untrained = ", untrained" * found.plan.network.untrained
    yield row(f"{found.name}{untrained}: {found.source} bit-exact", FRAMES, "frames", str(FRAMES), "RTL simulation",
              True)
    yield row(f"{found.name}: cycles a frame, {found.plan.cycles:,} predicted", found.cycles, "cycles", "within 1 %",
              "RTL simulation", abs(found.cycles / found.plan.cycles - 1) <= 0.01)


def size(found):
    """What the design takes of the chip, beside what it may take."""
    for stage, cost in found.costs.items():
        for kind, unit in (("lut", "LUT"), ("bram", "BRAM36"), ("dsp", "DSP")):
            amount, limit = getattr(cost, kind), getattr(found.limits, kind)
            yield row(f"{found.name}: {unit}", round(amount, 1), unit, f"{limit:,g}", stage, amount <= limit)


def rate(found, clock_hz, bar, peer=""):
    """Frames a second at a clock that nobody has measured."""
    rate = clock_hz / found.cycles
    yield row(f"{found.name} at {clock_hz / 1e6:g} MHz", round(rate), "frames/s", f"{bar:,}{peer}", SIMULATED,
              rate >= bar)


def latency(found, clock_hz, bar):
    """Time from the first pixel of a frame to its result."""
    microseconds = 1e6 * found.latency / clock_hz
    yield row(f"{found.name} at {clock_hz / 1e6:g} MHz: latency of one frame", round(microseconds, 1), "us", f"{bar:g}",
              SIMULATED, microseconds <= bar)


def efficiency(found, luts, busy):
    """LUTs of the whole for a product in every clock, and how much of the time matrix units work."""
    for stage, cost in found.costs.items():
        price = cost.lut * found.cycles / found.macs
        yield row(f"{found.name}: LUTs a delivered MAC a cycle, {found.macs / 1e6:,.1f} million MACs a frame",
                  round(price, 3), "LUT", f"{luts:g}", f"{stage}, RTL simulation", price <= luts)
    yield row(f"{found.name}: lanes busy, weighted by their LUTs", round(100 * found.busy, 1), "%", f"{100 * busy:g}",
              "cost model, RTL simulation", found.busy >= busy)


def memory(found, bar):
    """Weights' share of the bits of the block memories that hold them."""
    used = allocated = 0
    for stage in found.products:
        width, depth = weight_memory(stage.layer, stage.folding)
        form = memory_cost.named(stage.folding.memory, width, depth)
        used += width * sum(part.depth for part in form if part.style != "distributed")
        allocated += memory_cost.form_cost(form, width).bram * memory_cost.BLOCK
    share = used / allocated
    yield row(f"{found.name}: bits of block memories for weights that hold weights", round(100 * share, 1), "%",
              f"{100 * bar:g}", "cost model", share >= bar)


def largest(synth):
    """The largest network on the larger board: its share of the chip at two clocks."""
    found = design("bvgg16", "zcu102", boards.find("zcu102").budget, synth)
    yield from simulation(found)
    yield from size(found)
    for clock_hz, bar in ((250e6, 75_000), (300e6, 90_000)):
        yield from rate(found, clock_hz, bar)
        yield from latency(found, clock_hz, 150)
    yield from efficiency(found, 1.6, 0.95)
    yield from memory(found, 0.9)


def peer(synth):
    """The network of BNN-PYNQ, within what BNN-PYNQ takes."""
    shares = {kind: getattr(PEER, kind) / getattr(SHARE, kind) for kind in ("lut", "bram", "dsp")}
    found = design("cnv", "pynq_z2", replace(boards.find("pynq_z2").budget, **shares), synth)
    yield from simulation(found)
    yield from size(found)
    yield from rate(found, 100e6, 24_000, "; BNN-PYNQ 3,052")


def main(
    out: Annotated[pathlib.Path, typer.Option(help="Where to write the figures.")] = pathlib.Path(
        "docs/bench-rate.json"),
    synth: Annotated[bool, typer.Option("--synth", help="Count LUTs with Yosys, too.")] = False,
):
    """Measure both networks: on test images of their data sets where $BNN_DATA has them, else on photographs."""
    report((part(synth) for part in (largest, peer)), out)


if __name__ == "__main__":
    typer.run(main)
