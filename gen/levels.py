"""Levels of logic between registers of emitted Verilog: ``python -m gen.levels --net cnv --board zcu102``.

Every module is mapped by Yosys as :mod:`gen.synth` does it, out of context, and the paths of all modules are joined at
their ports, so that a path through several of them, such as a handshake, is counted from register to register.

The rule is at most 4 levels (:data:`gen.paths.RULE`; what costs how many is told there), parts of one not counted. For
300 MHz on an UltraScale+ of speed grade -2, 3.33 ns of clock, less 0.3 ns for register, setup and uncertainty of the
clock, leave 3 ns. A level is 0.1 to 0.15 ns of LUT and, in a chip two thirds full, 0.4 to 0.5 ns of wire, and there is
one wire more than levels: four levels take 2.4 to 3.1 ns, five 3 to 3.75. A chain needs less than two levels, about 0.3
ns and its wire, but its cells can only be placed as a column, so that the wires to and from it are long. So a chain,
the LUT that drives it and one more are within the rule; two chains are not. The delays are rounded from data sheets and
experience: no Vivado has judged them.
"""

from pathlib import Path as Folder
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .build import built
from .errors import reported
from .paths import RULE, summary
from .synth import mapped

__all__ = ["levels"]


def levels(folder, top, dsp=True):
    """Deepest path of module ``top``, and of every module within it, from the Verilog files in ``folder``.

    A path through several modules is that of the innermost one around all of them; of a path that leaves a module, the
    part within is one of that module, too.

    Parameters
    ----------
    folder : path
    top : str
    dsp : bool
        Whether products may be made in DSP blocks.

    Returns
    -------
    dict
        A :class:`gen.paths.Path` for each module, by name.

    Raises
    ------
    RuntimeError
        Yosys does not accept a module, or it holds a cell that is not known here.
    """
    netlists, summaries = mapped(folder, top, dsp), {}

    def visit(name):
        if name not in summaries:
            for kind in {cell["type"] for cell in netlists[name]["cells"].values()} & netlists.keys():
                visit(kind)
            summaries[name] = summary(netlists[name], summaries)

    for name in netlists:
        visit(name)
    return {name: found.worst for name, found in summaries.items()}


def _table(paths):
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("levels", "LUTs", "chains", "bits"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("module", overflow="fold")
    table.add_column("from, through, to", overflow="fold")
    for name, path in paths:
        nets = path.start, *(path.through if path.deep else ()), path.end
        table.add_row(str(int(path.levels)), str(path.luts), str(path.chains), str(path.bits), escape(name),
                      escape("\n".join(nets)), style="red" if path.deep else None)
    return table


def _label(name):
    """Name of a module as it was written, without the values of its parameters."""
    return next(part for part in name.split("\\") if not part.startswith("$paramod"))


def main(
    net: Annotated[str, typer.Option(help="Network that was built.")] = "bvgg16",
    board: Annotated[str, typer.Option(help="Board that it was built for.")] = "zcu102",
    build: Annotated[Folder | None, typer.Option(help="Folder of the build.")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture that it was built in, if one was asked for.")] = None,
):
    """Count the levels of logic between registers of a build; exit with 1 where there are more than the rule allows."""
    console = Console(highlight=False)
    try:
        with reported():
            rtl = built(net, board, build, arch) / "rtl"
            (top,) = (path.stem for path in rtl.glob("*_accelerator.v"))
            with console.status("synth_xilinx -family xcup, module by module"):
                found = levels(rtl, top)
    except RuntimeError as error:
        Console(stderr=True).print(f"[bold red]Failed:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
    paths = sorted(((_label(name), path) for name, path in found.items()), key=lambda item: -item[1].levels)
    deep = sum(path.deep for _, path in paths)
    console.print(_table(paths), f"{deep} of {len(paths)} modules are deeper than {RULE} levels" if deep else
                  f"No path is deeper than {RULE} levels", sep="\n")
    raise typer.Exit(deep > 0)


if __name__ == "__main__":
    typer.run(main)
