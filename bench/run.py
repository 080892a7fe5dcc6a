"""Measure what the project promises: ``python -m bench.run`` (``make bench``) writes ``docs/bench.json`` and a table.

Every figure is labelled with its stage. Commands are measured as whole processes; memory is that of the largest.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Annotated

import typer

from bench.figures import report, row

NETS = {"bvgg16": 10, "cnv": 100, "tfc": 100}  # frames to simulate
BOARD = "zcu102"
RUNS = 3
SLACK = 16  # LUTs that do not matter


def command(*arguments):
    """Run ``python -m`` with ``arguments``; returns (seconds, peak memory in GB, what it printed)."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{printed[-3000:]}")
    return time.monotonic() - start, usage.ru_maxrss / 1e6, printed


def build():
    """Time and memory from QONNX to files."""
    runs = [command("gen.build", "--net", "bvgg16", "--board", BOARD, "--quiet") for _ in range(RUNS)]
    seconds, memory = (statistics.median(run[k] for run in runs) for k in (0, 1))
    yield row("bvgg16 from QONNX to files", round(seconds, 1), "s", "15", "generator", seconds <= 15)
    yield row("bvgg16 from QONNX to files, memory", round(memory, 2), "GB", "2", "generator", memory <= 2)


def golden():
    """Speed of the golden model."""
    from gen.golden import run
    from gen.importers.qonnx import load
    from gen.zoo import find
    from sim.images import frames

    network = load(find("bvgg16"))
    images, _, _ = frames(network, 200)
    run(network, images[:20])
    rates = []
    for _ in range(RUNS):
        start = time.monotonic()
        run(network, images)
        rates.append(len(images) / (time.monotonic() - start))
    rate = statistics.median(rates)
    yield row("bvgg16 golden model", round(rate), "images/s", "60", "golden model", rate >= 60)


def simulation(net, frames):
    """Bit-exactness, cycles against prediction, time and memory."""
    os.environ["CCACHE_DISABLE"] = "1"  # what a user's first run takes
    command("gen.build", "--net", net, "--board", BOARD, "--quiet")
    folder = pathlib.Path("rtl_out") / f"{net}-{BOARD}"
    seconds, memory, printed = command("sim.run", "--net", net, "--board", BOARD, "--frames", str(frames))
    result = json.loads((folder / "sim" / "verilator" / "result.json").read_text())
    facts = json.loads((folder / "manifest.json").read_text())
    predicted, cycles = facts["predicted"]["cycles_per_frame"], result["cycles_per_frame"]
    untrained = ", untrained" * (facts["metadata"].get("trained") == "false")
    yield row(f"{net}{untrained}: frames bit-exact", result["frames"], "frames", str(frames), "RTL simulation",
              "bit-exact" in printed)
    yield row(f"{net}: cycles a frame, {predicted:,} predicted", cycles, "cycles", "within 1 %", "RTL simulation",
              abs(cycles / predicted - 1) <= 0.01)
    yield row(f"{net}: rate at {facts['clock_hz'] / 1e6:g} MHz", round(facts["clock_hz"] / cycles), "frames/s", "",
              "RTL simulation", True)
    if net == "bvgg16":
        yield row("bvgg16: simulation, built and run", round(seconds), "s", "900", "RTL simulation", seconds <= 900)
        yield row("bvgg16: simulation, memory", round(memory, 2), "GB", "12", "RTL simulation", memory <= 12)


def verilog():
    """What Verilator, slang and Yosys say."""
    from sim.lint import lint

    for net in NETS:
        build = pathlib.Path("rtl_out") / f"{net}-{BOARD}"
        folder, facts = build / "rtl", json.loads((build / "manifest.json").read_text())
        complaints = len(lint(folder, facts["top"]))
        yield row(f"{net}: complaints about {len(list(folder.glob('*.v')))} modules", complaints, "lines", "0",
                  "Verilator, slang, Yosys", complaints == 0)


def synthesis(net):
    """Whether Yosys accepts every module, and how far the cost model is off."""
    command("gen.synth", "--net", net, "--board", BOARD)
    units = json.loads((pathlib.Path("rtl_out") / f"{net}-{BOARD}" / "yosys.json").read_text()).values()
    model, yosys = ([unit[of]["lut"] for unit in units] for of in ("predicted", "yosys"))
    close = sum(abs(a - b) <= max(0.15 * b, SLACK) for a, b in zip(model, yosys, strict=True))
    yield row(f"{net}: LUTs, {sum(model):,.0f} predicted", sum(yosys), "LUT", "within 15 %", "Yosys estimate",
              abs(sum(model) / sum(yosys) - 1) <= 0.15)
    yield row(f"{net}: units predicted within 15 % or {SLACK} LUTs", close, "units", str(len(model)),
              "Yosys estimate", close == len(model))


def main(
    out: Annotated[pathlib.Path, typer.Option(help="Where to write the figures.")] = pathlib.Path("docs/bench.json"),
):
    """Measure everything; half an hour on two cores."""
    report((build(), golden(), *(simulation(*net) for net in NETS.items()), verilog(), *map(synthesis, NETS)), out)


if __name__ == "__main__":
    typer.run(main)
