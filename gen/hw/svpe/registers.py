# amaranth: UnusedElaboratable=no
"""Registers by which a host starts the array on a program, learns how it went, and what held it up.

:data:`REGISTERS` is the one table of them.
"""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi import AxiLite, AxiLiteTarget
from ..registers import ADDRESS_WIDTH, Register, pack_version, serve
from ..units import add_unit

__all__ = ["ERRORS", "EVENTS", "MAGIC", "OFFSETS", "REGISTERS", "RegisterFile"]

MAGIC = int.from_bytes(b"SVPE", "big")

REGISTERS = tuple(Register(*row) for row in [
    ("IDENTITY", 0x00, "ro", "0x53565045: \"SVPE\""),
    ("VERSION", 0x04, "ro", "Generator version: major in bits 31-16, minor in 15-8, patch in 7-0"),
    ("BUILD", 0x08, "ro", "32 bits that the program's header must have"),
    ("CONTROL", 0x0c, "wo", "Bit 0: start, unless busy; bit 1: clear all counters"),
    ("STATUS", 0x10, "ro", "Bit 0: busy, 1: done since the last start, 2: stopped by an error, until reset"),
    ("BASE_LOW", 0x18, "rw", "Address of the image, low word, a multiple of 16; counts from the next start on"),
    ("BASE_HIGH", 0x1c, "rw", "Address of the image, high word; counts from the next start on"),
    ("ERRORS", 0x30, "w1c", "Since last cleared: bit 0 a start while busy, 1 a program for other hardware, 2 a record "
                            "that is none; an error of the memory, 3 at pixels, 4 at weights, 5 at the program, "
                            "6 at results"),
    ("RUNS", 0x40, "ro", "Runs that are done"),
    ("CYCLES", 0x48, "ro", "Clock cycles of the last run, from start to done, low word; steady when not busy"),
    ("CYCLES_HIGH", 0x4c, "ro", "Clock cycles of the last run, high word"),
    ("PASS_CYCLES", 0x50, "ro", "Of the last run: cycles in which the array worked"),
    ("WAIT_LOADS", 0x54, "ro", "Of the last run: cycles in which it waited for pixels or patterns"),
    ("WAIT_WEIGHTS", 0x58, "ro", "Of the last run: cycles in which it waited for weights"),
    ("WAIT_DRAINS", 0x5c, "ro", "Of the last run: cycles in which it waited for room for its sums"),
    ("LOAD_WORDS", 0x60, "ro", "Of the last run: words of 16 bytes read of pixels, patterns and parameters"),
    ("WEIGHT_WORDS", 0x64, "ro", "Of the last run: words read of weights"),
    ("DRAIN_WORDS", 0x68, "ro", "Of the last run: words written"),
])
OFFSETS = {register.name: register.offset for register in REGISTERS}

# Each is counted in the register of its name while busy, from 0 at every start.
EVENTS = ("pass_cycles", "wait_loads", "wait_weights", "wait_drains", "load_words", "weight_words", "drain_words")
# Bits of the register from bit 1 on.
ERRORS = ("foreign", "invalid", "load", "weights", "program", "drain")


class RegisterFile(wiring.Component):
    """The registers, behind AXI4-Lite; refuses what :data:`REGISTERS` does not allow.

    Keeps its contents when all else is reset after an error.

    Parameters
    ----------
    version : str
        Of the generator, such as ``"1.2.3"``.
    build : int
        32 bits that tell this build from others.

    Members
    -------
    axi : In(AxiLite(ADDRESS_WIDTH))
        Where the host asks.
    start : Out(1)
        Begin: high for a clock, never while busy.
    base : Out(64)
        Address of the image; changes in the clock after ``start`` only.
    status : In(StructLayout)
        ``busy`` (from the clock after ``start`` on), ``done``, ``halted``.
    errors : In(StructLayout)
        A bit for each of :data:`ERRORS`: it happens, or has happened.
    events : In(StructLayout)
        A bit for each of :data:`EVENTS`: it happens in this cycle.
    """

    unit_name = "registers"

    def __init__(self, *, version, build):
        self.constants = {"IDENTITY": MAGIC, "VERSION": pack_version(version), "BUILD": build}
        self.cycles = Signal(64)
        super().__init__({
            "axi": In(AxiLite(ADDRESS_WIDTH)),
            "start": Out(1),
            "base": Out(64),
            "status": In(data.StructLayout({"busy": 1, "done": 1, "halted": 1})),
            "errors": In(data.StructLayout(dict.fromkeys(ERRORS, 1))),
            "events": In(data.StructLayout(dict.fromkeys(EVENTS, 1))),
        })

    def elaborate(self, platform):
        m = Module()

        bus = add_unit(m, "bus", AxiLiteTarget(ADDRESS_WIDTH), platform)
        connect(m, flipped(self.axi), bus.axi)

        events = Signal.like(self.events)
        counters = {name.upper(): Signal(32, name=name) for name in EVENTS}
        base_low, base_high, runs = (Signal(32, name=name) for name in ("base_low", "base_high", "runs"))
        running, done, clear = (Signal(name=name) for name in ("running", "was_done", "clear"))
        cycles, errors = self.cycles, Signal(1 + len(ERRORS), name="happened")
        written = serve(m, bus, REGISTERS, self.constants | counters | {
            "STATUS": self.status.as_value(), "BASE_LOW": base_low, "BASE_HIGH": base_high, "ERRORS": errors,
            "RUNS": runs, "CYCLES": cycles[:32], "CYCLES_HIGH": cycles[32:]})
        asked = written["CONTROL"][0]

        m.d.comb += [
            self.start.eq(asked & ~self.status.busy),
            clear.eq(self.start | written["CONTROL"][1]),
        ]
        m.d.sync += [
            running.eq(self.status.busy), done.eq(self.status.done), events.eq(self.events),
            errors.eq(errors & ~written["ERRORS"][:len(errors)] | Cat(asked & self.status.busy, self.errors)),
            cycles.eq(Mux(clear, 0, cycles + running)),
            runs.eq(Mux(written["CONTROL"][1], 0, runs + (self.status.done & ~done))),
        ]
        for name, counter in zip(EVENTS, counters.values(), strict=True):
            m.d.sync += counter.eq(Mux(clear, 0, counter + (events[name] & running)))
        with m.If(self.start):
            m.d.sync += self.base.eq(Cat(base_low, base_high))

        return m
