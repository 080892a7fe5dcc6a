"""What a rate costs: ``python -m gen.explore --net bvgg16 --board zcu102`` lists the cheapest design of each rate."""

import json
from math import floor
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import boards

from . import zoo
from .errors import UserError, reported
from .importers import qonnx
from .report import NAMES
from .solver import Space, usable

__all__ = ["app", "limiting", "trade_off"]

STEP = 1.25  # between one frame time and the next, at least


def trade_off(network, budget, clock_hz, progress=False, dsp48e2=True):
    """The cheapest design of each rate, the fastest first, until less speed saves nothing more.

    Parameters
    ----------
    network : Network
    budget : Resources
        What the chip has.
    clock_hz : float
    progress : bool
        Show a bar.
    dsp48e2 : bool
        As :class:`gen.solver.Space` takes it.

    Returns
    -------
    list of Plan
        Each slower than the one before, and of fewer LUTs.
    """
    space = Space(network, budget, clock_hz, dsp48e2=dsp48e2)
    times = [space.times[0]]
    for time in space.times:
        if time >= STEP * times[-1]:
            times.append(time)
    plans = []
    for time in track(times, network.name, disable=not progress, transient=True):
        plan = space.cheapest(time)
        if not plans or plan.cost.lut < plans[-1].cost.lut:
            plans.append(plan)
    return plans


def limiting(cost, budget):
    """(name, share) of the resource of which ``cost`` takes the largest share of what may be used."""
    shares = {name: getattr(cost, name) / whole for name, whole in usable(budget).items() if whole}
    return max(shares.items(), key=lambda item: item[1])


def _table(plans, budget):
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("frames/s", "cycles", "LUT", "BRAM36", "DSP", "LUT a 1,000/s"):
        table.add_column(heading, justify="right")
    table.add_column("scarcest")
    table.add_column("bottleneck")
    for plan in plans:
        cost, (name, share) = plan.cost, limiting(plan.cost, budget)
        table.add_row(f"{floor(plan.rate):,}", f"{plan.cycles:,}", f"{cost.lut:,.0f}", f"{cost.bram:,.1f}",
                      f"{cost.dsp:,.0f}", f"{1000 * cost.lut / plan.rate:,.0f}", f"{NAMES[name]} {share:.0%}",
                      plan.bottleneck.layer.name)
    return table


def _facts(plan, budget):
    name, share = limiting(plan.cost, budget)
    return {"frames_per_second": round(plan.rate, 1), "cycles_per_frame": int(plan.cycles),
            "resources": {kind: round(amount, 1) for kind, amount in plan.cost.items()},
            "scarcest": name, "share": round(share, 3), "bottleneck": plan.bottleneck.layer.name}


def _plot(plans, budget, title, path):
    try:
        import matplotlib
    except ImportError:
        raise UserError("--plot needs matplotlib: pip install matplotlib") from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axis.plot([plan.cost.lut for plan in plans], [plan.rate for plan in plans], "-", color="0.7", zorder=1)
    scarcest = [limiting(plan.cost, budget)[0] for plan in plans]
    for name in dict.fromkeys(scarcest):
        luts, rates = zip(*((plan.cost.lut, plan.rate) for plan, scarce in zip(plans, scarcest, strict=True)
                            if scarce == name), strict=True)
        axis.plot(luts, rates, "o", markersize=4, label=f"{NAMES[name]} scarcest")
    axis.axvline(usable(budget).lut, color="0.6", linestyle=":")
    axis.annotate(" LUTs that may be used", (usable(budget).lut, plans[-1].rate), rotation=90, ha="right", color="0.4")
    axis.legend(frameon=False)
    axis.set(title=title, xlabel="LUT (cost model)", ylabel="frames/s", xscale="log", yscale="log")
    axis.grid(which="both", alpha=0.2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    net: Annotated[str, typer.Option(metavar="NAME|FILE.onnx", help="A shipped network, or a QONNX file.")],
    board: Annotated[str, typer.Option(metavar="NAME", help=f"One of: {', '.join(boards.names())}.")],
    clock_mhz: Annotated[float | None, typer.Option(
        min=1, max=2000, metavar="MHZ", help="Clock to plan for. Default: the board's.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw frames/s against LUTs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
):
    """List the cheapest design for each rate that a board can hold."""
    with reported():
        platform = boards.find(board)
        clock_hz = clock_mhz * 1e6 if clock_mhz else platform.fabric_clock
        network = qonnx.load(zoo.find(net))
        console = Console(highlight=False)
        plans = trade_off(network, platform.budget, clock_hz, progress=console.is_terminal and not as_json,
                          dsp48e2=boards.dsp48e2(platform))
        if plot:
            _plot(plans, platform.budget, f"{network.name}, {board}, {clock_hz / 1e6:g} MHz", plot)
        if as_json:
            print(json.dumps([_facts(plan, platform.budget) for plan in plans]))
            return
    console.print(_table(plans, platform.budget), end="")
    console.print(f"Cost model, {board} at {clock_hz / 1e6:g} MHz; scarcest: of what may be used. Any of these: "
                  f"python -m gen.build --net {net} --board {board} --target-fps RATE", markup=False, soft_wrap=True)


if __name__ == "__main__":
    app()
