"""Power-of-two networks: ``python -m bench.powers`` (``make bench-powers``) writes ``docs/bench-powers.json``.

Whole networks on real images in RTL simulation, and shifts beside multipliers: the highest rate of one network with
either, where both may take as many DSPs, and where both may take what they want of the chip.
"""

import json
import pathlib
import tempfile
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

import boards
from bench.figures import report, row
from bench.run import BOARD, simulation
from gen.emit import emit
from gen.importers import qonnx
from gen.plan import Plan
from gen.solver import SHARE, solve, usable
from gen.zoo import find
from sim.images import frames
from sim.run import prepare, simulate

NETS = "tbqnn", "resnet20", "densenet22"
COMPARED = "tbqnn"
DSPS = 768  # of both arrays that the paper compares (Chen et al. 2020)
FRAMES = 3  # the interval after the second is that of steady state
PARTS = pathlib.Path("rtl_out/bench-powers")  # what each part has measured


def _fastest(multiplier, dsps=None):
    """The fastest design for the board, of which no more than so many DSPs may be used, and in words what limits it."""
    board = boards.find(BOARD)
    network = qonnx.load(find(COMPARED), multiplier=multiplier)
    budget = replace(board.budget, dsp=dsps / SHARE.dsp) if dsps else board.budget
    plan = Plan(network, board, board.fabric_clock, solve(network, budget, board.fabric_clock))
    name, share = max(((name, getattr(plan.cost, name) / whole) for name, whole in usable(budget).items() if whole),
                      key=lambda pair: pair[1])
    return plan, f"{name.upper()}: {share:.0%} of what may be used"


def _simulated(plan):
    """Cycles a frame of ``plan``, whose frames are bit-exact: the bench fails where they are not."""
    with tempfile.TemporaryDirectory() as folder:
        rtl, work = pathlib.Path(folder, "rtl"), pathlib.Path(folder, "sim")
        emit(plan.network, plan.foldings, rtl, 0)
        prepare(plan.network, plan.foldings, frames(plan.network, FRAMES)[0], work)
        return simulate(rtl, work, only=r"\bframes$")["cycles_per_frame"]


def shifts():
    """The fastest design without multipliers."""
    plan, limit = _fastest(None)
    yield row(f"{COMPARED}, shifts, whole chip", round(plan.rate), "frames/s", limit, "cost model", True)


def multipliers(where, dsps, bar):
    """Multipliers in so many DSPs, and how much faster shifts are in the simulation of the same network before."""
    plan, limit = _fastest("dsp", dsps)
    cycles, what = _simulated(plan), f"{COMPARED}, multipliers in DSPs, {where}"
    yield row(f"{what}: cycles a frame, {plan.cycles:,} predicted", cycles, "cycles", "within 1 %", "RTL simulation",
              abs(cycles / plan.cycles - 1) <= 0.01)
    yield row(what, round(plan.clock_hz / cycles), "frames/s", f"{plan.cost.dsp:,.0f} DSP; {limit}", "RTL simulation",
              True)
    result = pathlib.Path("rtl_out", f"{COMPARED}-{BOARD}", "sim", "verilator", "result.json")
    ratio = cycles / json.loads(result.read_text())["cycles_per_frame"]
    yield row(f"{COMPARED}, shifts to multipliers, {where}", round(ratio, 1), "x", str(bar or ""), "RTL simulation",
              ratio >= bar)


def kept(name, measure, resume):
    """Figures of one part, or, to resume, those that it has measured before."""
    file = PARTS / f"{name}.json"
    if not (resume and file.exists()):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(list(measure())))
    yield from json.loads(file.read_text())


def main(
    out: Annotated[pathlib.Path, typer.Option(help="Where to write the figures.")] = pathlib.Path(
        "docs/bench-powers.json"),
    resume: Annotated[bool, typer.Option("--resume", help="Keep the parts that a run before has finished.")] = False,
):
    """Measure; 40 minutes on two cores, beside other work."""
    parts = {net: partial(simulation, net, FRAMES) for net in NETS} | {
        "shifts": shifts, "multipliers": partial(multipliers, f"{DSPS} DSPs", DSPS, 2.9),
        "multipliers-whole-chip": partial(multipliers, "whole chip", None, 0),
    }
    report([kept(name, measure, resume) for name, measure in parts.items()], out)


if __name__ == "__main__":
    typer.run(main)
