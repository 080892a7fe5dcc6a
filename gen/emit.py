# amaranth: UnusedElaboratable=no
"""Write hardware as Verilog: one module a file, each distinct unit once, memory contents in ``.mem`` files."""

import contextlib
import inspect
import pathlib
import tempfile

from amaranth import ClockSignal, Instance, ResetSignal, Signal, Value
from amaranth.back import rtlil
from amaranth.lib.wiring import In
from pyosys import libyosys

from .hw.accelerator import Accelerator
from .hw.axi import Top

__all__ = ["Emitter", "emit"]

# Registers with enable and reset as one "always" each; expressions no wider than need be.
_PASSES = ("proc", "opt_expr", "opt_clean", "wreduce", "opt_dff -simple-dffe", "opt_merge", "pmuxtree", "opt_clean")


def _verilog(text):
    """Verilog of the one module in the RTLIL ``text``, without Yosys' own header."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # Yosys takes no spaces in paths
        source, result = pathlib.Path("unit.il"), pathlib.Path("unit.v")
        source.write_text(text)
        design = libyosys.Design()
        for command in (f"read_rtlil {source}", *_PASSES, f"write_verilog -noattr {result}"):
            design.run_pass(f"tee -q {command}")
        return result.read_text().split("\n", 2)[2]


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
    """

    def __init__(self, out):
        self.out, self.files, self.signatures = out, {}, {}

    def module(self, unit, name):
        """Write ``unit`` as ``name.v``, unless its equal has been written; and all that it holds."""
        if f"{name}.v" in self.files:
            if self.signatures[name] != unit.signature:
                raise ValueError(f"two different units are called {name}")
            return
        self.signatures[name] = unit.signature
        self.files[f"{name}.v"] = None  # the name is taken, also by units within
        text = rtlil.convert(unit, name=name, platform=self, emit_src=False)
        self._write(f"{name}.v", _header(name, unit) + _verilog(text))

    def share(self, name, unit):
        """Instance ``name`` of ``unit``'s module, bound to the unit's own ports, which are named after it."""
        self.module(unit, unit.unit_name)
        verilog = self.files[f"{unit.unit_name}.v"]
        clock = {"clk": ClockSignal(), "rst": ResetSignal()}
        ports = {f"i_{wire}": signal for wire, signal in clock.items() if f"input {wire};" in verilog}
        for path, member, value in unit.signature.flatten(unit):
            port, signal = "__".join(map(str, path)), Value.cast(value)
            signal.name = f"{name}__{port}"
            ports[("i_" if member.flow == In else "o_") + port] = signal
        return Instance(unit.unit_name, **ports)

    def instance(self, memory):
        """Instance of ``memory``'s Verilog template."""
        if memory.template.name not in self.files:
            self._write(memory.template.name, memory.template.read_text())
        if hasattr(memory, "contents"):
            self._write(memory.file, memory.contents())
        connections = memory.connections()
        for key, value in connections.items():
            if isinstance(value, Signal):
                value.name = f"{memory.name}__{key[2:]}"
        return Instance(memory.template.stem, **connections)

    def _write(self, name, text):
        (self.out / name).write_text(text)
        self.files[name] = text


def emit(network, foldings, out, build_id):
    """Write the accelerator for ``network`` to the folder ``out``.

    Parameters
    ----------
    network : gen.network.Network
    foldings : dict of gen.folding.Folding
    out : path
        Folder; made if need be.
    build_id : int
        32 bits that the hardware answers when asked what it is.

    Returns
    -------
    list of str
        Names of the files, sorted.
    """
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    emitter = Emitter(out)
    emitter.module(Top(Accelerator(network, foldings, build_id)), "accelerator")
    return sorted(emitter.files)
