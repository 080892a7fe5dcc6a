"""Command line: from a trained network to Verilog for a board."""

import json
import lzma
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import boards

from . import folding, vivado, zoo
from .emit import emit
from .errors import UserError
from .importers import qonnx
from .manifest import build_id, manifest
from .plan import Plan
from .report import Report
from .solver import solve

__all__ = ["app", "build"]

OUTPUT = Path("rtl_out")
TOP = "accelerator"


def build(net, board, *, target_fps=None, clock_hz=None, foldings=None, out=None, report=None):
    """Generate a design.

    Parameters
    ----------
    net : str
        Name of a network that is shipped, or path of a QONNX file.
    board : str
        Name of a board.
    target_fps : float, optional
        Frames a second to reach with the fewest LUTs. Without it: the highest rate that fits the board.
    clock_hz : float, optional
        Clock to plan for; the board's own when not given.
    foldings : dict, optional
        Layers whose folding is given.
    out : path, optional
        Folder to write; ``rtl_out/<net>-<board>`` when not given. An earlier build in it is replaced.
    report : Report, optional
        Where to tell of progress.

    Returns
    -------
    (folder, manifest)

    Raises
    ------
    UserError
        The model, the board, the rate, a folding or the folder will not do.
    """
    report, platform = report or Report(quiet=True), boards.find(board)
    with report.step("import the model"):
        source = Path(zoo.find(net))
        network = qonnx.load(source)
    report.model(network, net)
    with report.step("choose the folding"):
        clock_hz = clock_hz or platform.fabric_clock
        plan = Plan(network, platform, clock_hz,
                    solve(network, platform.budget, clock_hz, target_fps, foldings))
    folder = Path(out) if out else OUTPUT / f"{network.name}-{board}"
    with _replacing(folder) as scratch:
        with report.step("generate the Verilog"):
            (scratch / "rtl").mkdir()
            files = emit(network, plan.foldings, scratch / "rtl", build_id(plan, board, source))
        with report.step("write scripts and manifest"):
            facts = _accompany(plan, board, source, files, scratch)
    report.plan(plan)
    report.result(folder, f"python -m sim.run --net {net} --board {board} --build {out}" if out else
                  f"make sim NET={net} BOARD={board}")
    return folder, facts


def _accompany(plan, board, source, files, folder):
    """Write everything but the Verilog; returns the manifest."""
    folding.save(plan.foldings, folder / "folding.json")
    content = source.read_bytes()
    (folder / "model.onnx.xz").write_bytes(content if source.suffix == ".xz" else lzma.compress(content))
    (folder / "vivado").mkdir()
    for name, text in vivado.scripts(TOP, files, boards.part(plan.board), plan.clock_hz).items():
        (folder / "vivado" / name).write_text(text)
    facts = manifest(plan, board, source, folder)
    (folder / "manifest.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


@contextmanager
def _replacing(target):
    """Folder to build in; it takes the place of ``target`` once the block has succeeded."""
    if target.exists() and not _is_ours(target):
        raise UserError(f"{target} exists and is no earlier build, or holds more than one: name another folder with "
                        f"--out, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)


def _is_ours(folder):
    """Whether ``folder`` is empty, or an earlier build."""
    try:
        if not any(folder.iterdir()):
            return True
        facts = json.loads((folder / "manifest.json").read_text())
        # Whatever else lies there is not ours to delete, but for simulations of the build.
        ours = {Path(name).parts[0] for name in facts["files"]} | {"manifest.json", "sim"}
        return facts["generator"].startswith("popweave") and {path.name for path in folder.iterdir()} <= ours
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    net: Annotated[str, typer.Option(metavar="NAME|FILE.onnx", help="A shipped network, or a QONNX file.")],
    board: Annotated[str, typer.Option(metavar="NAME", help=f"One of: {', '.join(boards.names())}.")],
    target_fps: Annotated[float | None, typer.Option(
        min=1e-3, metavar="RATE",
        help="Frames/s to reach with the fewest LUTs. Default: as many as fit.")] = None,
    clock_mhz: Annotated[float | None, typer.Option(
        min=1, max=2000, metavar="MHZ", help="Clock to plan for. Default: the board's.")] = None,
    folding_file: Annotated[Path | None, typer.Option(
        "--folding", metavar="FILE", help="Foldings to keep: JSON, as the build writes it.")] = None,
    out: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Folder to write. Default: rtl_out/<net>-<board>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
):
    """Generate a Verilog accelerator from a trained network."""
    try:
        folder, facts = build(
            net, board, target_fps=target_fps, clock_hz=clock_mhz and clock_mhz * 1e6, out=out,
            foldings=folding_file and folding.load(folding_file), report=Report(quiet or as_json))
    except (UserError, OSError) as error:
        errors = Console(stderr=True, highlight=False)
        errors.print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps({"folder": str(folder), **facts}))


if __name__ == "__main__":
    app()
