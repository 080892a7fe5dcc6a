"""Power-of-two networks: ``python -m bench.powers`` (``make bench-powers``) writes ``docs/bench-powers.json``.

Whole networks on real images in RTL simulation, and shifts beside multipliers: the highest rate of one network with
either, where both may take as many DSPs, and where both may take what they want of the chip.
"""

import json
import pathlib
import tempfile
from dataclasses import replace
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


def _plan(multiplier, dsps=None):
    """The fastest design for the board, with no more than so many DSPs."""
    board = boards.find(BOARD)
    network = qonnx.load(find(COMPARED), multiplier=multiplier)
    budget = replace(board.budget, dsp=dsps / SHARE.dsp) if dsps else board.budget
    return Plan(network, board, board.fabric_clock, solve(network, budget, board.fabric_clock))


def _limit(plan):
    """The resource of which ``plan`` takes most, and how much of what may be used."""
    name, share = max(((name, getattr(plan.cost, name) / whole) for name, whole in usable(plan.board.budget).items()
                       if whole), key=lambda pair: pair[1])
    return f"{name.upper()}: {share:.0%} of what may be used"


def _simulated(plan):
    """Cycles a frame of ``plan``, whose frames are bit-exact: the bench fails where they are not."""
    with tempfile.TemporaryDirectory() as folder:
        rtl, work = pathlib.Path(folder, "rtl"), pathlib.Path(folder, "sim")
        emit(plan.network, plan.foldings, rtl, 0)
        prepare(plan.network, plan.foldings, frames(plan.network, 3)[0], work)
        return simulate(rtl, work, only="frames")["cycles_per_frame"]


def comparison():
    """Shifts beside multipliers in DSPs."""
    shifts, rates = _plan(None), {}
    yield row(f"{COMPARED}, shifts, whole chip", round(shifts.rate), "frames/s", _limit(shifts), "cost model", True)
    for where, dsps in ((f"{DSPS} DSPs", DSPS), ("whole chip", None)):
        plan = _plan("dsp", dsps)
        rates[where] = plan.clock_hz / _simulated(plan)
        yield row(f"{COMPARED}, multipliers in DSPs, {where}", round(rates[where]), "frames/s",
                  f"{plan.cost.dsp:,.0f} DSP; {_limit(plan)}", "RTL simulation", True)
    folder = pathlib.Path("rtl_out") / f"{COMPARED}-{BOARD}"
    cycles = json.loads((folder / "sim" / "verilator" / "result.json").read_text())["cycles_per_frame"]
    for where, rate in rates.items():
        ratio, bar = shifts.clock_hz / cycles / rate, 2.9 if "DSP" in where else 0
        yield row(f"{COMPARED}, shifts to multipliers, {where}", round(ratio, 1), "x", "2.9" if bar else "",
                  "RTL simulation", ratio >= bar)


def main(
    out: Annotated[pathlib.Path, typer.Option(help="Where to write the figures.")] = pathlib.Path(
        "docs/bench-powers.json"),
):
    """Measure; an hour on two cores."""
    report([*(simulation(net, 2) for net in NETS), comparison()], out)


if __name__ == "__main__":
    typer.run(main)
