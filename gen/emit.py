# amaranth: UnusedElaboratable=no
"""Write hardware as Verilog: one module a file, each distinct unit once, memory contents in ``.mem`` files."""

import contextlib
import inspect
import pathlib
import re
import tempfile

from amaranth import ClockSignal, Instance, ResetSignal, Signal, Value
from amaranth.back import rtlil
from amaranth.lib.wiring import In
from pyosys import libyosys

from .hw.accelerator import Accelerator
from .hw.axi import Top

__all__ = ["Emitter", "emit", "emit_top", "prefix"]

# Registers with enable and reset as one "always" each; expressions no wider than need be.
_PASSES = ("proc", "opt_expr", "opt_clean", "wreduce", "opt_dff -simple-dffe", "opt_merge", "pmuxtree", "opt_clean")


def _verilog(text):
    """Verilog of the one module in the RTLIL ``text``, without Yosys' own header."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # Yosys takes no spaces in paths
        source, result = pathlib.Path("unit.il"), pathlib.Path("unit.v")
        source.write_text(text)
        design = libyosys.Design()
        for command in (f"read_rtlil {source}", *_PASSES, f"write_verilog {result}"):
            design.run_pass(f"tee -q {command}")
        # Of attributes those that Vivado shall read.
        text = result.read_text().split("\n", 2)[2]
        return re.sub(r"^ *\(\*(?! shreg_extract).*\*\)\n", "", text, flags=re.MULTILINE)


def _header(name, unit):
    """Comment that says what a module is, and its parameters."""
    summary = inspect.getdoc(unit).splitlines()[0].replace("``", "")
    parameters = ", ".join(f"{key} = {value}" for key, value in vars(unit).items() if type(value) is int)
    return f"// {name}: {summary}\n" + f"// {parameters}\n" * bool(parameters)


class Emitter:
    """Passed to Amaranth as the platform: takes units and memories out of the module that holds them.

    Parameters
    ----------
    out : pathlib.Path
        Folder for the files.
    prefix : str
        What all names of modules and files begin with.
    carry_bits : int
        Bits of a carry block of the chip, whose LUTs then are AMD's, too; 0 of any other chip.
    """

    def __init__(self, out, prefix="", carry_bits=8):
        self.out, self.prefix, self.carry_bits, self.files, self.ports = out, prefix, carry_bits, {}, {}

    def module(self, unit, name):
        """Write ``unit`` as module ``name`` (after the prefix), unless its equal has been written; and all it holds.

        Returns
        -------
        str
            Name of the module, prefix included.
        """
        name, ports = self.prefix + name, [(path, port) for path, port, _ in unit.signature.flatten(unit)]
        if f"{name}.v" in self.files:
            if self.ports[name] != ports:
                raise ValueError(f"two different units are called {name}")
            return name
        self.ports[name] = ports
        self.files[f"{name}.v"] = None  # the name is taken, also by units within
        text = rtlil.convert(unit, name=name, platform=self, emit_src=False)
        self._write(f"{name}.v", _header(name, unit) + _verilog(text))
        return name

    def share(self, name, unit):
        """Instance ``name`` of ``unit``'s module, bound to the unit's own ports, which are named after it."""
        module = self.module(unit, unit.unit_name)
        verilog = self.files[f"{module}.v"]
        clock = {"clk": ClockSignal(), "rst": ResetSignal()}
        ports = {f"i_{wire}": signal for wire, signal in clock.items() if f"input {wire};" in verilog}
        for path, member, value in unit.signature.flatten(unit):
            port, signal = "__".join(map(str, path)), Value.cast(value)
            signal.name = f"{name}__{port}"
            ports[("i_" if member.flow == In else "o_") + port] = signal
        return Instance(module, **ports)

    def instance(self, memory):
        """Instance of ``memory``'s Verilog template."""
        kind, connections = memory.template.stem, memory.connections()
        if f"{self.prefix}{kind}.v" not in self.files:
            text = memory.template.read_text().replace(f"module {kind} ", f"module {self.prefix}{kind} ")
            self._write(f"{self.prefix}{kind}.v", text)
        if hasattr(memory, "contents"):
            connections["p_INIT_FILE"] = self.prefix + memory.file
            self._write(self.prefix + memory.file, memory.contents())
        for key, value in connections.items():
            if isinstance(value, Signal):
                value.name = f"{memory.name}__{key[2:]}"
        return Instance(self.prefix + kind, **connections)

    def _write(self, name, text):
        (self.out / name).write_text(text)
        self.files[name] = text


def prefix(name):
    """What all names of modules begin with in an accelerator called ``name``, so that several go into one design."""
    return re.sub(r"\W", "_", f"n{name}" if name[0].isdigit() else name) + "_"


def emit_top(core, name, out, carry_bits=8):
    """Write ``core``, a component with AXI interfaces, to the folder ``out``, which is made if need be.

    ``carry_bits``: as of :class:`Emitter`.

    Returns
    -------
    top : str
        Name of the top module: ``<name>_accelerator``.
    files : list of str
        Names of the files, sorted.
    """
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    emitter = Emitter(out, prefix(name), carry_bits)
    top = emitter.module(Top(core), "accelerator")
    return top, sorted(emitter.files)


def emit(network, foldings, out, build_id, carry_bits=8):
    """Write the streaming accelerator for ``network`` to the folder ``out``.

    Parameters
    ----------
    network : gen.network.Network
    foldings : dict of gen.folding.Folding
    out : path
    build_id : int
        32 bits that the hardware answers when asked what it is.
    carry_bits : int
        As of :class:`Emitter`.

    Returns
    -------
    (top, files) as of :func:`emit_top`
    """
    return emit_top(Accelerator(network, foldings, build_id), network.name, out, carry_bits)
