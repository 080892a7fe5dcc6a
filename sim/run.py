# amaranth: UnusedElaboratable=no
"""Simulate a build on real images and compare it, bit for bit, with the golden model."""

import enum
import json
import pathlib
import shutil
import time
from dataclasses import replace
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from gen import folding, golden
from gen.build import built, reopen
from gen.emit import prefix
from gen.errors import UserError, reported
from gen.hw.core import Core
from gen.svpe import timing

from . import array, simulator
from .images import frames

__all__ = ["prepare", "simulate"]


def prepare(network, foldings, images, folder, *, build=0):
    """Write what :mod:`sim.network_bench` reads to ``folder``: images, golden scores, and where to look for faults."""
    core = Core(network, foldings)
    taps = {}
    scores = golden.run(network, images, taps)
    layers = {layer.name: layer for layer in network.walk()}
    plan = folding.streams(network, foldings).cycles
    values = network.output.values
    bench = {
        "top": prefix(network.name) + "accelerator",
        "build": build,
        "score": [values.lo, values.hi, values.step],
        "cycles": max(plan.values()),
        "patience": 20 * (sum(plan.values()) + 1000),
        "taps": [{"layer": name, "unit": unit, "channels": payload.channels, "pixels": payload.pixels,
                  "values": [v.lo, v.hi, v.step]}
                 for name, (unit, payload) in core.outputs.items() for v in [layers[name].output.values]],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(bench))
    np.savez(folder / "frames.npz", images=images, scores=scores)
    np.savez(folder / "taps.npz", **{name: taps[name] for name in core.outputs})
    public = "".join(f'public_flat_rd -module "{prefix(network.name)}core" -var "{unit}__o__{part}"\n'
                     for unit, _ in core.outputs.values() for part in ("valid", "ready", "payload"))
    (folder / "taps.vlt").write_text("`verilator_config\n" + public)
    return bench


def simulate(rtl, folder, *, only=None, waves=False, saif=False, tool="verilator"):
    """Run :mod:`sim.network_bench` on the Verilog in ``rtl``; returns what it measured.

    Raises
    ------
    RuntimeError
        A test failed; the bench has printed what and where.
    """
    folder = pathlib.Path(folder).resolve()
    for memory in rtl.glob("*.mem"):
        shutil.copy(memory, folder)
    arguments = [str(folder / "taps.vlt")] if tool == "verilator" else []
    top = json.loads((folder / "bench.json").read_text())["top"]
    simulator.run(sorted(rtl.glob("*.v")), top, "sim.network_bench", folder, arguments=arguments, only=only,
                  waves=waves, saif=saif, simulator=tool, environment={"POPWEAVE_BENCH": str(folder)})
    return json.loads((folder / "result.json").read_text())


class Tool(enum.StrEnum):
    """Simulators."""

    verilator = "verilator"
    icarus = "icarus"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    net: Annotated[str, typer.Option(help="Network that was built.")] = "bvgg16",
    board: Annotated[str, typer.Option(help="Board that it was built for.")] = "zcu102",
    frames_: Annotated[int, typer.Option("--frames", min=2, help="Images to simulate.")] = 10,
    tool: Annotated[Tool, typer.Option("--simulator")] = Tool.verilator,
    waves: Annotated[bool, typer.Option("--waves", help="Record all signals (FST).")] = False,
    saif: Annotated[bool, typer.Option("--saif", help="Count toggles of all signals for report_power of Vivado (SAIF), "
                                       "of frames without stalls alone.")] = False,
    data: Annotated[str, typer.Option(envvar="BNN_DATA", help="Folder of the data sets.")] = "",
    build: Annotated[pathlib.Path | None, typer.Option(help="Folder of the build.")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture that it was built in, if one was asked for.")] = None,
    layer: Annotated[str | None, typer.Option(help="Simulate this convolution alone, on an array.")] = None,
):
    """Simulate a build on real images, bit for bit against the golden model."""
    console = Console(highlight=False)
    try:
        with reported():
            folder = built(net, board, build, arch)
            plan, facts = reopen(folder)
            if tool == Tool.icarus and not shutil.which("iverilog"):
                raise UserError("Icarus (iverilog) is not on the PATH: install it, or use --simulator verilator")
            if saif and (waves or tool == Tool.icarus):
                raise UserError("--saif is for Verilator, which writes either that or --waves")
            options = {"tool": tool, "waves": waves, "saif": saif, "only": r"\bframes$" if saif else None}
            images, labels, source = frames(plan.network, frames_, data)
            if plan.arch != "stream":
                return array_report(console, plan, folder, facts, images, labels, source, options, layer)
            if layer:
                raise UserError("--layer is for arrays, which run one layer after another: --arch svpe")
            report(console, plan, folder, facts, images, labels, source, options)
    except RuntimeError as error:
        Console(stderr=True).print(f"[bold red]Failed:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None


def _also(what, options):
    return "" if options["only"] else f"; also {what}"


def _recorded(options):
    return " and waves" if options["waves"] else " and toggles" if options["saif"] else ""


def report(console, plan, folder, manifest, images, labels, source, options):
    """Simulate, and print what came of it."""
    work = folder / "sim" / options["tool"]
    console.print(f"{len(images)} {source} through {folder}/rtl in {options['tool']}")
    start = time.monotonic()
    network = plan.network
    prepare(network, plan.foldings, images, work, build=int(manifest["build_id"], 16))
    result = simulate(folder / "rtl", work, **options)
    seconds = time.monotonic() - start
    predicted = manifest["predicted"]["cycles_per_frame"]
    console.print(f"[bold green]bit-exact[/]: {len(images)} frames, all scores equal the golden model's"
                  + _also("with random stalls, after a reset in mid-frame, and among bad frames", options))
    if network.untrained:
        console.print("[bold red]untrained[/]: the model file says that its weights were never trained")
    elif labels is not None:
        best = golden.best(network, np.array(result["scores"]) * network.scale + network.offset)
        console.print(f"{(best == labels).sum()} of {len(labels)} images classified right")
    if result["cycles_per_frame"]:
        rate = manifest["clock_hz"] / result["cycles_per_frame"]
        console.print(f"{result['cycles_per_frame']:,.0f} cycles a frame in steady state (RTL simulation), "
                      f"{predicted:,} predicted: {rate:,.0f} frames/s at {manifest['clock_hz'] / 1e6:g} MHz; "
                      f"first result after {result['latency_cycles']:,} cycles")
    console.print(f"{seconds:.0f} s; results{_recorded(options)} in {work}")


def array_report(console, plan, folder, manifest, images, labels, source, options, layer):
    """Simulate an array, all of its network or one layer, and print what came of it."""
    work, start, build = folder / "sim" / options["tool"], time.monotonic(), int(manifest["build_id"], 16)
    if layer:
        network, inputs, outputs = array.one_layer(plan.network, layer, images)
        plan, work = replace(plan, network=network), work / layer
    else:
        if (folder / "program.bin").read_bytes() != plan.program.built(build).image.tobytes():
            raise UserError(f"{folder}/program.bin is of another version of the generator: build again")
        inputs, outputs = images, golden.run(plan.network, images)
    console.print(f"{len(images)} {source} through {layer or 'all layers'} in {folder}/rtl in {options['tool']}")
    array.prepare(plan.program.built(build), plan.shape, inputs, outputs, work, top=manifest["top"], build=build,
                  cycles=plan.cycles)
    result = array.simulate(folder / "rtl", work, **options)
    cycles, slots = result["cycles_per_frame"], result["events"]["pass_cycles"]
    console.print(f"[bold green]bit-exact[/]: memory after {len(inputs)} runs is the golden model's"
                  + _also("with random stalls, and after errors of every bus and of the host", options))
    if plan.network.untrained:
        console.print("[bold red]untrained[/]: the model file says that its weights were never trained")
    elif labels is not None and not layer:
        best = golden.best(plan.network, outputs * plan.network.scale + plan.network.offset)
        console.print(f"{(best == labels).sum()} of {len(labels)} images classified right")
    share = plan.timing.macs / (plan.shape.lanes * plan.shape.chains * plan.shape.taps * cycles)
    predicted = round(timing.cycles(plan.program, plan.shape, timing.SIMULATED).clocks)
    console.print(f"{cycles:,} cycles (RTL simulation), {predicted:,} predicted for the simulated memory "
                  f"({plan.cycles:,} for the build's, which is slower): {share:.0%} of the peak; in "
                  f"{slots / cycles:.0%} of them the array works; {manifest['clock_hz'] / cycles:,.1f} a second at "
                  f"{manifest['clock_hz'] / 1e6:g} MHz")
    console.print(f"{time.monotonic() - start:.0f} s; results{_recorded(options)} in {work}")


if __name__ == "__main__":
    app()
