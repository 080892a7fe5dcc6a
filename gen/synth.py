"""Synthesise emitted Verilog with Yosys for UltraScale+: ``python -m gen.synth --net cnv --board zcu102``.

Every module is synthesised out of context, the modules within it as black boxes, in as many processes as there are
cores; what a module takes is the sum over its instances. The command sets this beside the cost model's prediction.
"""

import contextlib
import json
import multiprocessing
import os
from collections import defaultdict
from dataclasses import asdict
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from pyosys import libyosys
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .build import built, reopen
from .emit import Emitter
from .errors import reported
from .hw.vendor import MODELS
from .resources import Resources

__all__ = ["Netlist", "compare", "flat", "mapped", "measure", "synthesise"]

BATCH = 8  # modules that one process gets: reading the cell library takes seconds

# Six-input look-up tables that each cell of Yosys' UltraScale+ library takes.
LUTS = {f"LUT{k}": 1 for k in range(1, 7)} | {
    "LUT6_2": 1,
    "SRL16E": 1, "SRLC32E": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8}
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
BLOCKS = {"RAMB18E2": 0.5, "RAMB36E2": 1}
# Units of an array's engine, and what the cost model calls them; the others are control.
ARRAY = {name: name for name in ("cluster", "accumulators", "drain", "load")} | {
    "chain": "row chains", "weight": "weights", "program_reader": "memory ports", "load_reader": "memory ports",
    "weights_reader": "memory ports", "writer": "memory ports"}

# Registers that Vivado is told to leave alone. Yosys' word for memory in LUTs that is only read is logic; its own
# choices would differ from Vivado's.
STYLES = ("setattr -set keep 1 a:shreg_extract=no", 'setattr -set rom_style "logic" a:ROM_STYLE=distributed',
          'setattr -set rom_style "block" a:ROM_STYLE=block')


def _resources(cells):
    return Resources(
        lut=sum(LUTS.get(kind, 0) * count for kind, count in cells.items()),
        ff=sum(cells.get(kind, 0) for kind in FLIP_FLOPS),
        bram=sum(BLOCKS.get(kind, 0) * count for kind, count in cells.items()),
        dsp=cells.get("DSP48E2", 0), uram=cells.get("URAM288", 0))


class Netlist:
    """Cells of every module of a design.

    Parameters
    ----------
    cells : dict
        For each module its cells by kind: how many, of library cells and other modules.
    instances : dict
        For each module the modules that it holds, by name of the instance.
    """

    def __init__(self, cells, instances):
        self.cells, self.instances = cells, instances

    def parts(self, name):
        """The modules that the module ``name`` holds, by name of the instance."""
        return {instance: kind for instance, kind in self.instances[name].items() if kind in self.cells}

    def resources(self, name):
        """What the module ``name`` takes, and all within it."""
        cells = self.cells[name]
        return sum((self.resources(kind) * count for kind, count in cells.items() if kind in self.cells),
                   _resources(cells))


def _run(design, *commands, log=os.devnull):
    for command in commands:
        design.run_pass(f"tee -q -o {log} {command}")


def _size(module):
    """Something that grows with the time that synthesis takes."""
    return module.cells_size() + sum(memory.width * memory.size for memory in module.memories.values())


def _counts(_names):
    """Command that prints, as JSON, how many cells of each kind each module has."""
    return "stat -json"


def _netlists(names):
    """Command that prints the modules ``names`` as JSON."""
    return f"json {' '.join(names)}"


def _batch(log, names, describe):
    """Leave in the file ``log`` what ``describe`` prints of the modules ``names``; an error, if any, ends the process.

    The file then holds the error.
    """
    identifier = libyosys.IdString
    top = _design.addModule(identifier("\\batch"))
    for number, name in enumerate(names):
        top.addCell(identifier(f"\\unit{number}"), identifier(name)).set_bool_attribute(identifier("\\keep"), True)
    _run(_design, f"select -set kept batch {' '.join(names)}", "blackbox @kept %n",
         f"synth_xilinx -family xcup -top batch -noiopad -noclkbuf {_options}", "select -assert-none t:LDCE t:LDPE",
         "check -assert", describe(names), log=log)


def _whole(log, top):
    """Leave in the file ``log`` how many cells there are of each kind where ``top`` and all within it are one."""
    _run(_design, f"synth_xilinx -family xcup -flatten -top {top} -noiopad -noclkbuf {_options}", "check -assert",
         "stat -json", log=log)


def _printed(work, jobs):
    """What ``work`` leaves in its file, as JSON, for the arguments of each of ``jobs``.

    Each is a process of its own, forked with what has been read; so many at a time as there are cores.
    """
    fork, found, waiting, running = multiprocessing.get_context("fork"), [], list(enumerate(jobs)), {}
    with TemporaryDirectory() as folder:
        try:
            while waiting or running:
                while waiting and len(running) < os.cpu_count():
                    number, arguments = waiting.pop(0)
                    log = Path(folder, str(number))
                    process = fork.Process(target=work, args=(log, *arguments))
                    process.start()
                    running[process.sentinel] = process, log
                for ended in wait(running):
                    process, log = running.pop(ended)
                    process.join()
                    text = log.read_text() if log.exists() else ""
                    if process.exitcode:
                        raise RuntimeError("Yosys: " + "\n".join(text.splitlines()[-5:]))
                    found.append(json.loads(text))
        finally:
            for process, _ in running.values():
                process.kill()
                process.join()
    return found


def _described(modules, describe):
    """What ``describe`` prints of each of ``modules``, by name, from batches of them."""
    names = [module.name.str() for module in sorted(modules, key=_size, reverse=True)]
    count, found = -(-len(names) // BATCH), {}
    for printed in _printed(_batch, [(names[k::count], describe) for k in range(count)]):
        found |= {name.removeprefix("\\"): one for name, one in printed["modules"].items()}
    return {module.name.unescape(): found[module.name.unescape()] for module in modules}


def _read(folder, top, options):
    """The modules of the Verilog files in ``folder`` that ``top`` needs, itself included; ``options`` map them."""
    global _design, _options  # processes are forked with it: a design cannot be sent to them
    _design, _options = libyosys.Design(), options
    with contextlib.chdir(folder):  # where the memories' contents are
        _run(_design, f"read_verilog -lib {' '.join(map(str, MODELS))}", "read_verilog -defer *.v",
             f"hierarchy -check -top {top}", *STYLES)
    return [module for module in _design.modules_.values() if not module.get_blackbox_attribute()]


def synthesise(folder, top, dsp=True):
    """The :class:`Netlist` of module ``top`` and of all within it, from the Verilog files in ``folder``.

    Products are made of LUTs alone without ``dsp``.

    Raises
    ------
    RuntimeError
        Yosys does not accept a module: an error, a latch, a loop, an undriven net.
    """
    modules = _read(folder, top, "" if dsp else "-nodsp")
    instances = {module.name.unescape(): {name.unescape(): cell.type.unescape()
                                          for name, cell in module.cells_.items()} for module in modules}
    cells = {name: found["num_cells_by_type"] for name, found in _described(modules, _counts).items()}
    return Netlist(cells, instances)


def flat(folder, top):
    """Resources of module ``top`` and all within it, synthesised as one: to check the sum of :func:`synthesise`."""
    _read(folder, top, "")
    (printed,) = _printed(_whole, [(top,)])
    return _resources(printed["modules"][f"\\{top}"]["num_cells_by_type"])


def mapped(folder, top, dsp=True):
    """What the modules of :func:`synthesise` are mapped to: for each, by name, what Yosys' ``write_json`` writes.

    Shift registers stay flip-flops: Vivado ends those that it makes of LUTs with one, Yosys does not.
    """
    return _described(_read(folder, top, "-nosrl" if dsp else "-nosrl -nodsp"), _netlists)


def measure(units, dsp=True):
    """Resources of each of a list of hardware units; products are made of LUTs alone without ``dsp``."""
    names = [f"unit{number}" for number in range(len(units))]
    with TemporaryDirectory() as folder:
        emitter = Emitter(Path(folder))
        for name, unit in zip(names, units, strict=True):
            emitter.module(unit, name)
        instances = "".join(f"(* keep *) {name} i_{name} (.clk(clk), .rst(rst));\n" for name in names)
        Path(folder, "bench.v").write_text(f"module bench(input clk, input rst);\n{instances}endmodule\n")
        netlist = synthesise(folder, "bench", dsp)
    return [netlist.resources(name) for name in names]


def compare(plan, rtl):
    """(predicted, measured) resources of every unit of the build of ``plan``, by name, and of the shell."""
    find = _stream if plan.arch == "stream" else _array
    (top,) = (path.stem for path in rtl.glob("*_accelerator.v"))
    found = find(synthesise(rtl, top), top)
    return {name: (predicted, found[name]) for name, predicted in plan.units.items()}


def _stream(netlist, top):
    """What the units of a stream take, by name, and what is around them."""
    core = top.removesuffix("accelerator") + "core"
    units = {name: netlist.resources(module) for name, module in netlist.parts(core).items()}
    return units | {"shell": netlist.resources(top) + netlist.resources(core) * -1}


def _array(netlist, top):
    """What the units of an array take, together as :func:`gen.svpe.cost.units` has them."""
    engine, found = netlist.parts(top.removesuffix("accelerator") + "engine"), defaultdict(Resources)
    for name, module in engine.items():
        found[ARRAY.get(name.rstrip("0123456789"), "control")] += netlist.resources(module)
    lanes = netlist.parts(engine["cluster"]).values()
    lane = sum(map(netlist.resources, lanes), Resources())
    found["cells"] = sum((netlist.resources(chain) for lane in lanes for chain in netlist.parts(lane).values()),
                         Resources())
    found["lanes"], found["cluster"] = lane + found["cells"] * -1, found["cluster"] + lane * -1
    del found["control"]
    return found | {"control": netlist.resources(top) + sum(found.values(), Resources()) * -1}


def _table(compared):
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("predicted / Yosys", no_wrap=True)
    for heading in ("LUT", "FF", "BRAM36", "DSP"):
        table.add_column(heading, justify="right", no_wrap=True)
    total = tuple(sum(column, Resources()) for column in zip(*compared.values(), strict=True))
    for name, pair in (compared | {"total": total}).items():
        cells = [" / ".join(f"{getattr(one, what):,.{digits}f}" for one in pair)
                 for what, digits in (("lut", 0), ("ff", 0), ("bram", 1), ("dsp", 0))]
        table.add_row(name, *cells, style="bold" if name == "total" else None)
    return table


def main(
    net: Annotated[str, typer.Option(help="Network that was built.")] = "bvgg16",
    board: Annotated[str, typer.Option(help="Board that it was built for.")] = "zcu102",
    build: Annotated[Path | None, typer.Option(help="Folder of the build.")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture that it was built in, if one was asked for.")] = None,
    whole: Annotated[bool, typer.Option("--flat", help="Synthesise all as one, too: takes long.")] = False,
):
    """Synthesise a build with Yosys, and set what every unit takes beside the cost model's prediction."""
    console = Console(highlight=False)
    try:
        with reported():
            folder = built(net, board, build, arch)
            plan, manifest = reopen(folder)
            with console.status("synth_xilinx -family xcup, module by module"):
                compared = compare(plan, folder / "rtl")
            with console.status("synth_xilinx -family xcup -flatten"):
                together = flat(folder / "rtl", manifest["top"]) if whole else None
    except RuntimeError as error:
        Console(stderr=True).print(f"[bold red]Failed:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
    units = {name: {"predicted": asdict(predicted), "yosys": asdict(found)}
             for name, (predicted, found) in compared.items()}
    if together:
        units["flat"] = {"yosys": asdict(together)}
    result = folder / "yosys.json"
    result.write_text(json.dumps(units, indent=1) + "\n")
    console.print(_table(compared), f"Every module accepted by Yosys synth_xilinx -family xcup; written: {result}",
                  sep="\n")
    if together:
        console.print("All modules as one: " + ", ".join(f"{amount:,g} {name.upper()}" for name, amount
                                                         in together.items() if amount))


if __name__ == "__main__":
    typer.run(main)
