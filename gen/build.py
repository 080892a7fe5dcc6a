"""Command line: from a trained network to Verilog for a board."""

import json
import lzma
import shlex
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

import boards

from . import folding, vivado, zoo
from .errors import TooLarge, UserError, reported
from .importers import qonnx
from .manifest import GENERATOR, build_id, manifest
from .network import MULTIPLIERS
from .plan import Plan
from .report import Report
from .solver import solve
from .svpe import solver as array
from .svpe.plan import ArrayPlan
from .svpe.shape import FORMS, Shape

__all__ = ["app", "build", "built", "reopen"]

OUTPUT = Path("rtl_out")
ARCHITECTURES = "stream", *FORMS
OURS = {"manifest.json", "sim", "yosys.json"}  # what a build's folder has beside the files in the manifest


def build(net, board, *, arch=None, target_fps=None, clock_hz=None, foldings=None, shape=None, out=None, report=None,
          **options):
    """Generate a design.

    Parameters
    ----------
    net : str
        Name of a network that is shipped, or path of a QONNX file.
    board : str
        Name of a board.
    arch : str, optional
        One of :data:`ARCHITECTURES`; when not given a stream through all layers, or where that does not fit the board
        the array ``svpe``, or ``luts`` if the board has no DSP48E2.
    target_fps : float, optional
        Frames a second to reach with the fewest LUTs. Without it: the highest rate that fits the board.
    clock_hz : float, optional
        Clock to plan for; the board's own when not given.
    foldings : dict, optional
        Layers whose folding is given.
    shape : Shape, optional
        The array, if there is to be one.
    out : path, optional
        Folder to write; ``rtl_out/<net>-<board>``, with ``-<arch>`` if that is given, when not given. An earlier build
        in it is replaced.
    report : Report, optional
        Where to tell of progress.
    options : dict
        Further ones of :func:`gen.importers.qonnx.load`: ``powers``, ``multiplier``.

    Returns
    -------
    (folder, manifest)

    Raises
    ------
    UserError
        The model, the board, the architecture, the rate, a folding or the folder will not do.
    """
    if arch and arch not in ARCHITECTURES:
        raise UserError(f"--arch {arch}: there are {', '.join(ARCHITECTURES)}")
    report, platform = report or Report(quiet=True), boards.find(board)
    with report.step("import the model"):
        source = Path(zoo.find(net))
        network = qonnx.load(source, **options)
    report.model(network, net, options.get("powers"))
    with report.step("choose the folding"):
        clock_hz = clock_hz or platform.fabric_clock
        plan = _planned(network, platform, clock_hz, arch, target_fps, foldings, shape)
    folder = Path(out) if out else OUTPUT / _name(network.name, board, arch)
    with _replacing(folder) as scratch:
        with report.step("generate the Verilog"):
            (scratch / "rtl").mkdir()
            number = build_id(plan, board, source, options)
            top, files = plan.emit(scratch / "rtl", number)
        with report.step("write scripts and manifest"):
            plan.save(scratch, number)
            facts = _accompany(plan, board, source, top, files, scratch, options)
    (report.plan if plan.arch == "stream" else report.array)(plan)
    command = ["python", "-m", "sim.run", "--net", net, "--board", board, "--build", str(out)] if out else [
        "make", "sim", f"NET={net}", f"BOARD={board}", *([f"ARCH={arch}"] if arch else [])]
    report.result(folder, shlex.join(command))
    return folder, facts


def _planned(network, board, clock_hz, arch, target_fps, foldings, shape):
    """The best plan of an architecture; where none is asked for, of the one that fits."""
    dsp48e2, form = boards.dsp48e2(board), shape.form if shape else arch
    if form in FORMS and form != "luts" and not dsp48e2:
        raise UserError(f"an array of the form {form} needs DSP48E2 blocks, and {board.device} has none: "
                        "--arch luts, or stream")
    if shape:
        plan = ArrayPlan(network, board, clock_hz, shape)
        if not plan.cost.within(board.budget):
            raise TooLarge(f"the array of --shape is too large for {board.device}: it needs " + ", ".join(
                f"{amount:,.0f} {name.upper()}" for name, amount in plan.cost.items() if amount))
        if target_fps and plan.rate < target_fps:
            raise UserError(f"{target_fps:g} frames/s: the array of --shape gives {plan.rate:,.1f} frames/s")
        return plan
    if arch in FORMS:
        return array.solve(network, board, clock_hz, arch, target_fps)
    try:
        return Plan(network, board, clock_hz, solve(network, board.budget, clock_hz, target_fps, foldings, dsp48e2))
    except TooLarge as error:
        if arch or foldings:
            raise
        try:
            return array.solve(network, board, clock_hz, "svpe" if dsp48e2 else "luts", target_fps)
        except UserError as other:
            raise UserError(f"{error} As an array: {other}") from None


def _name(net, board, arch):
    """Name of the folder of a build."""
    return "-".join([net, board, *([arch] if arch else [])])


def built(net, board, folder=None, arch=None):
    """Folder of the build of ``net`` for ``board`` (``folder`` if it is given); built now if it is not there."""
    folder = Path(folder) if folder else OUTPUT / _name(Path(net).name.split(".")[0], board, arch)
    if not (folder / "manifest.json").exists():
        build(net, board, arch=arch, out=folder, report=Report())
    return folder


def reopen(folder):
    """The :class:`Plan`, or :class:`ArrayPlan`, of the build in ``folder``, and its manifest.

    Raises
    ------
    UserError
        Something in the folder is damaged.
    """
    path = folder / "manifest.json"
    try:
        facts = json.loads(path.read_text())
        net, board, clock_hz = (facts[key] for key in ("net", "board", "clock_hz"))
        options = facts.get("options", {})  # of which earlier versions had none
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): build again") from None
    network = qonnx.load(folder / "model.onnx.xz", net, **options)
    if facts.get("arch", "stream") == "stream":
        return Plan(network, boards.find(board), clock_hz, folding.load(folder / "folding.json")), facts
    return ArrayPlan(network, boards.find(board), clock_hz, Shape.load(folder / "shape.json")), facts


def _accompany(plan, board, source, top, files, folder, options):
    """Write everything but the Verilog; returns the manifest."""
    content = source.read_bytes()
    (folder / "model.onnx.xz").write_bytes(content if source.suffix == ".xz" else lzma.compress(content))
    (folder / "vivado").mkdir()
    for name, text in vivado.scripts(top, files, boards.part(plan.board), plan.clock_hz).items():
        (folder / "vivado" / name).write_text(text)
    facts = manifest(plan, board, source, top, folder, options)
    (folder / "manifest.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


@contextmanager
def _replacing(target):
    """Folder to build in; it takes the place of ``target`` once the block has succeeded."""
    target = target.resolve()
    if foreign := _foreign(target):
        raise UserError(f"{target} exists, and {foreign}: move that away, or name another folder with --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def _foreign(folder):
    """What ``folder`` holds that no build has put there, in words; empty if there is nothing of that kind."""
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return "is no folder"
    found = {path.name for path in folder.iterdir()}
    try:
        facts = json.loads((folder / "manifest.json").read_text()) if found else {"files": [], "generator": GENERATOR}
        ours = {Path(name).parts[0] for name in facts["files"]} | OURS
        if facts["generator"].startswith("popweave"):
            return f"holds {', '.join(sorted(found - ours))}, which no build has written" if found - ours else ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    return "is no earlier build"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    net: Annotated[str, typer.Option(metavar="NAME|FILE.onnx", help="A shipped network, or a QONNX file.")],
    board: Annotated[str, typer.Option(metavar="NAME", help=f"One of: {', '.join(boards.names())}.")],
    arch: Annotated[str | None, typer.Option(
        metavar="|".join(ARCHITECTURES), help="A stream through all layers, or an array that runs one after another "
        "from memory. Default: stream, or an array where that is too large.")] = None,
    target_fps: Annotated[float | None, typer.Option(
        min=1e-3, metavar="RATE",
        help="Frames/s to reach with the fewest LUTs. Default: as many as fit.")] = None,
    clock_mhz: Annotated[float | None, typer.Option(
        min=1, max=2000, metavar="MHZ", help="Clock to plan for. Default: the board's.")] = None,
    folding_file: Annotated[Path | None, typer.Option(
        "--folding", metavar="FILE", help="Foldings to keep: JSON, as the build writes it.")] = None,
    shape_file: Annotated[Path | None, typer.Option(
        "--shape", metavar="FILE", help="Array to build: JSON, as the build of one writes it; what was built of it "
        "runs this program, too.")] = None,
    powers: Annotated[int | None, typer.Option(
        min=2, max=5, metavar="BITS", help="Round weights that are not binary to powers of two.")] = None,
    multiplier: Annotated[str | None, typer.Option(
        metavar="|".join(MULTIPLIERS), help="Multiply by powers of two, too. Default: shift.")] = None,
    out: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Folder to write. Default: rtl_out/<net>-<board>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
):
    """Generate a Verilog accelerator from a trained network."""
    with reported():
        if multiplier and multiplier not in MULTIPLIERS:
            raise UserError(f"--multiplier {multiplier}: there are {', '.join(MULTIPLIERS)}")
        shape = shape_file and Shape.load(shape_file)
        if shape and arch not in (None, shape.form):
            raise UserError(f"--shape {shape_file} is an array of the form {shape.form}: --arch {shape.form}")
        if (folding_file or multiplier) and (shape or arch in FORMS):
            raise UserError("--folding and --multiplier are for --arch stream; an array takes its size from --shape, "
                            "and vpe multiplies")
        folder, facts = build(
            net, board, arch=arch or (shape and shape.form), shape=shape, target_fps=target_fps,
            clock_hz=clock_mhz and clock_mhz * 1e6, out=out, powers=powers, multiplier=multiplier,
            foldings=folding_file and folding.load(folding_file), report=Report(quiet or as_json))
    if as_json:
        print(json.dumps({"folder": str(folder), **facts}))


if __name__ == "__main__":
    app()
