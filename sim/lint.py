"""Do the tools of the trade accept emitted Verilog? Verilator's lint, slang, and Yosys' checks."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pyslang
import typer

from gen.hw.vendor import MODELS

from .simulator import tool_environment

__all__ = ["lint"]

# Yosys' Verilog: narrow operands of wide sums, the unused upper bits of those, registers with initial values.
STYLE = ("WIDTHEXPAND", "UNUSEDSIGNAL", "PROCASSINIT")
# The style of a ROM is for synthesis only.
STYLE += ("UNUSEDPARAM",)
# Sign bits that are copied within a vector look like a loop to Verilator; Yosys, which looks at bits, finds real ones.
STYLE += ("UNOPTFLAT",)
# Yosys writes x == 0 as !x. The models stand for the device's own.
WAIVER = "\n".join(["`verilator_config", 'lint_off -rule WIDTHTRUNC -file "*" -match "*Logical operator*"',
                    *(f'lint_off -file "{model}"' for model in MODELS), ""])


def verilator(sources, top):
    """What ``verilator --lint-only -Wall`` says, but for style."""
    with tempfile.NamedTemporaryFile("w", suffix=".vlt") as waiver:
        waiver.write(WAIVER)
        waiver.flush()
        done = subprocess.run(
            ["verilator", "--lint-only", "-Wall", *(f"-Wno-{name}" for name in STYLE), "--top-module", top,
             waiver.name, *(word for model in MODELS for word in ("-v", str(model))), *sources],
            capture_output=True, text=True, env=os.environ | tool_environment("verilator"), check=False)
    return done.stderr.splitlines() if done.returncode or "%" in done.stderr else []


def slang(sources, top):
    """Errors that slang finds."""
    compilation = pyslang.ast.Compilation()
    for source in [*sources, *MODELS]:
        compilation.addSyntaxTree(pyslang.syntax.SyntaxTree.fromFile(str(source)))
    return [str(d) for d in compilation.getAllDiagnostics() if d.isError()]


def yosys(sources, top):
    """Latches, combinational loops, undriven and multiply driven nets that Yosys finds."""
    names = " ".join(source.name for source in sources)
    commands = [f"read_verilog -lib {' '.join(map(str, MODELS))}", f"read_verilog -defer -sv {names}",
                f"hierarchy -check -top {top}", "proc", "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr",
                "memory_collect", "check -assert"]
    # In a process of its own, which an error ends; in the folder of the memories' contents.
    script = f"from pyosys import libyosys\ndesign = libyosys.Design()\nfor c in {commands}: design.run_pass(c)"
    done = subprocess.run([sys.executable, "-c", script], cwd=sources[0].parent, capture_output=True, text=True,
                          check=False)
    if not done.returncode:
        return []
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return [line for line in lines if "Warning" in line or "ERROR" in line] or lines[-5:] or ["failed"]


def lint(folder, top):
    """Complaints of all three about the Verilog in ``folder``, one a line."""
    sources = sorted(pathlib.Path(folder).resolve().glob("*.v"))
    return [f"{tool.__name__}: {line}" for tool in (verilator, slang, yosys) for line in tool(sources, top)]


def main(build: pathlib.Path):
    """Check the Verilog of the build in folder BUILD with Verilator, slang and Yosys."""
    top = json.loads((build / "manifest.json").read_text())["top"]
    complaints = lint(build / "rtl", top)
    count = len(list((build / "rtl").glob("*.v")))
    print("\n".join(complaints) or f"{count} modules: no complaint of Verilator, slang or Yosys")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    typer.run(main)
