"""Emitted Verilog as gates, for proofs: Yosys reads it, NumPy computes it for 64 cases a word."""

import contextlib
import json
import pathlib
import re
import tempfile
from graphlib import TopologicalSorter

import numpy as np
from pyosys import libyosys

from gen.emit import Emitter
from gen.hw.vendor import MODELS

__all__ = ["ONES", "Netlist", "emitted", "patterns", "unpacked"]

# What each gate computes.
GATES = {
    "$_NOT_": lambda A: ~A, "$_AND_": lambda A, B: A & B, "$_OR_": lambda A, B: A | B, "$_XOR_": lambda A, B: A ^ B,
    "$_XNOR_": lambda A, B: ~(A ^ B), "$_MUX_": lambda A, B, S: (A & ~S) | (B & S)}
ONES = np.uint64(2**64 - 1)


def emitted(unit, folder, carry_bits=8, edit=lambda name, text: text):
    """:class:`Netlist` of ``unit`` as it is emitted to ``folder``, which is made, after ``edit`` of every file."""
    folder.mkdir(parents=True)
    emitter = Emitter(folder, carry_bits=carry_bits)
    top = emitter.module(unit, unit.unit_name)
    for name, text in emitter.files.items():
        (folder / name).write_text(edit(name, text))
    return Netlist([folder / name for name in emitter.files], top)


def patterns(count):
    """All patterns of ``count`` bits, 64 at least: for each bit an array of words."""
    words = max(1, 2**count // 64)
    low = [int("".join("1" if k >> bit & 1 else "0" for k in reversed(range(64))), 2) for bit in range(6)]
    place = np.arange(words, dtype=np.uint64)
    return [np.full(words, low[bit], np.uint64) if bit < 6 else (place >> np.uint64(bit - 6) & np.uint64(1)) * ONES
            for bit in range(count)]


def unpacked(words, count):
    """The first ``count`` cases of ``words``, as integers; a single word is repeated."""
    bits = np.unpackbits(np.atleast_1d(words).view(np.uint8), bitorder="little")
    return np.resize(bits, count).astype(np.int64)


class Netlist:
    """Gates and registers of a module and all within it; bits have numbers, constant ones are "0" and "1".

    Parameters
    ----------
    sources : list of path
        Verilog files.
    top : str
        Module.
    parameters : dict
        Of the module.
    models : list of str
        Verilog files of primitives.

    Attributes
    ----------
    ports, names : dict
        Bits of each port, and of each wire.
    gates : dict
        Kind of gate and inputs by output.
    registers : dict
        What each register takes over, by output.
    fixed : dict
        Bits whose value is known.
    """

    def __init__(self, sources, top, parameters=None, models=MODELS):
        chosen = [f"chparam -set {key} {value} {top}" for key, value in (parameters or {}).items()]
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            files = [pathlib.Path(f"source{k}.v") for k in range(len(sources))]  # Yosys takes no spaces in paths
            for file, source in zip(files, sources, strict=True):
                file.write_text(pathlib.Path(source).read_text())
            design = libyosys.Design()
            for command in (
                    *(f"read_verilog -nowb -overwrite {file}" for file in (*files, *models)), *chosen,
                    f"hierarchy -check -top {top}",
                    "proc", "dffunmap", "opt_expr", "techmap", "opt -nodffe -nosdff", "flatten", "opt_clean",
                    "write_json netlist.json"):
                design.run_pass(f"tee -q {command}")
            modules = json.loads(pathlib.Path("netlist.json").read_text())["modules"]
        (module,) = [one for one in modules.values() if int(one["attributes"].get("top", "0"), 2)]
        self.ports = {name: port["bits"] for name, port in module["ports"].items()}
        self.names = {name: wire["bits"] for name, wire in module["netnames"].items()}
        self.gates, self.registers, self.fixed = {}, {}, {"0": np.uint64(0), "1": ONES}
        for cell in module["cells"].values():
            pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
            if cell["type"] == "$_DFF_P_":
                self.registers[pins["Q"]] = pins["D"]
            elif cell["type"] != "$scopeinfo":
                self.gates[pins.pop("Y")] = cell["type"], pins
        inputs = {out: pins.values() for out, (_, pins) in self.gates.items()} | {
            q: [d] for q, d in self.registers.items()}
        self.order = [bit for bit in TopologicalSorter(inputs).static_order() if bit in inputs]

    def run(self, **ports):
        """What the ports' bits are, arrays of words, if registers take no time; ``ports``: the inputs."""
        values = self.compute(self.order, {bit: array for name, arrays in ports.items()
                                           for bit, array in zip(self.ports[name], arrays, strict=True)})
        return {name: [values[bit] for bit in bits] for name, bits in self.ports.items() if name not in ("clk", "rst")}

    def compute(self, bits, values):
        """Add those of ``bits``, in this order, to ``values``: arrays of words by bit."""
        values |= self.fixed
        for bit in bits:
            values[bit] = self._computed(bit, values)
        return values

    def _computed(self, bit, values):
        if bit in self.registers:
            return values[self.registers[bit]]
        kind, pins = self.gates[bit]
        return GATES[kind](**{pin: values[source] for pin, source in pins.items()})

    def cone(self, bits):
        """Gates, inputs first, between the last registers, or ports, and ``bits``; and these registers and ports."""
        # The gates are a set in order.
        gates, leaves, waiting = {}, set(), [(bit, False) for bit in bits]
        while waiting:
            bit, ready = waiting.pop()
            if ready:
                gates[bit] = None
            elif bit in self.gates and bit not in self.fixed and bit not in gates:
                waiting += [(bit, True), *((source, False) for source in self.gates[bit][1].values())]
            elif bit not in gates and bit not in self.fixed:
                leaves.add(bit)
        return gates, leaves

    def delays(self, inputs):
        """Registers on the way to each bit, the same on every way, from the ``inputs``' bits, which have their own."""
        found = dict(inputs)
        for bit in self.order:
            register = bit in self.registers
            sources = [self.registers[bit]] if register else self.gates[bit][1].values()
            ways = {found[source] for source in sources if source in found}
            if len(ways) > 1:
                raise AssertionError(f"operands of different clocks: {sorted(ways)}")
            if ways:
                found[bit] = ways.pop() + register
        return found

    def levels(self, pattern):
        """Registers whose wire's name matches ``pattern`` (level, weight), in the order of levels: (weight, bit)."""
        found = {}
        for name, bits in self.names.items():
            if match := re.fullmatch(pattern, name):
                level, weight = match.groups()
                found.setdefault(level, []).extend((int(weight), bit) for bit in bits)
        return [found[level] for level in sorted(found, key=lambda text: int(text or 10**6))]
