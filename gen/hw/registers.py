# amaranth: UnusedElaboratable=no
"""Registers by which a host identifies the accelerator, watches it and hears of errors.

:data:`REGISTERS` is the one table of them: the hardware, the documentation and the drivers read it.
"""

from dataclasses import dataclass

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, connect, flipped

from ..network import Tensor
from .axi import AxiLite, AxiLiteTarget
from .counters import select
from .units import add_unit

__all__ = ["ADDRESS_WIDTH", "EVENTS", "MAGIC", "OFFSETS", "REGISTERS", "Geometry", "Register", "RegisterFile",
           "markdown", "pack_version", "serve"]

ADDRESS_WIDTH = 12  # a page, the least that Vivado's address editor gives
MAGIC = int.from_bytes(b"POPW", "big")


@dataclass(frozen=True)
class Register:
    """A 32-bit word at a byte offset; ``access`` is ``ro``, ``rw``, ``wo`` or ``w1c`` (write 1 to clear)."""

    name: str
    offset: int
    access: str
    description: str


REGISTERS = tuple(Register(*row) for row in [
    ("IDENTITY", 0x00, "ro", "0x504f5057: \"POPW\""),
    ("VERSION", 0x04, "ro", "Generator version: major in bits 31-16, minor in 15-8, patch in 7-0"),
    ("BUILD", 0x08, "ro", "First 32 bits of the hash of the build"),
    ("CONTROL", 0x0c, "wo", "Bit 0: clear all counters"),
    ("INPUT_SIZE", 0x10, "ro", "Input frame: height in bits 31-16, width in 15-0"),
    ("INPUT_VALUES", 0x14, "ro", "Input frame: channels in bits 31-16; bit 9 bipolar, 8 signed, 7-0 width"),
    ("INPUT_BEATS", 0x18, "ro", "Beats an input frame"),
    ("INPUT_BITS", 0x1c, "ro", "Bits an input beat that carry data"),
    ("OUTPUT_SIZE", 0x20, "ro", "Output frame, as INPUT_SIZE"),
    ("OUTPUT_VALUES", 0x24, "ro", "Output frame, as INPUT_VALUES"),
    ("OUTPUT_BEATS", 0x28, "ro", "Beats an output frame"),
    ("OUTPUT_BITS", 0x2c, "ro", "Bits an output beat that carry data"),
    ("ERRORS", 0x30, "w1c", "Since last cleared: bit 0 a short frame, bit 1 a long frame"),
    ("FRAMES_IN", 0x40, "ro", "Frames taken, bad ones included"),
    ("FRAMES_OUT", 0x44, "ro", "Frames given"),
    ("CYCLES", 0x48, "ro", "Clock cycles, low word; reading it latches the high word"),
    ("CYCLES_HIGH", 0x4c, "ro", "Clock cycles, high word, as of the last reading of CYCLES"),
    ("INPUT_STALLS", 0x50, "ro", "Cycles in which a beat was offered at the input, but not taken"),
    ("OUTPUT_STALLS", 0x54, "ro", "Cycles in which a beat was offered at the output, but not taken"),
    ("IDLE", 0x58, "ro", "Cycles in which the input was ready, but no beat was offered"),
    ("SHORT_FRAMES", 0x5c, "ro", "Frames dropped because they ended early"),
    ("LONG_FRAMES", 0x60, "ro", "Frames dropped because they did not end in time"),
])
OFFSETS = {register.name: register.offset for register in REGISTERS}

# Each is counted in the register of its name; all but the cycles wrap at 2 ** 32.
EVENTS = ("frames_in", "frames_out", "input_stalls", "output_stalls", "idle", "short_frames", "long_frames")


def pack_version(version):
    """The word for a version such as ``"1.2.3"``."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    return major << 16 | minor << 8 | patch


def markdown(registers=REGISTERS):
    """The table of registers in Markdown."""
    rows = (f"| 0x{r.offset:02x} | {r.name} | {r.access} | {r.description} |\n" for r in registers)
    return "| offset | name | access | description |\n|---|---|---|---|\n" + "".join(rows)


def serve(m, bus, registers, contents):
    """Let ``bus`` read and write ``registers``; what they do not allow it refuses.

    Parameters
    ----------
    bus : AxiLiteTarget
    registers : sequence of Register
    contents : dict
        By name, what each is read as, but for ``wo``, which are read as 0; for ``rw`` the signal that is written.

    Returns
    -------
    dict
        For each register that is ``wo`` or ``w1c``, by name: bits written as one, in the cycle in which they are.
    """
    ones, mask = {}, bus.write_mask & bus.write.replicate(32)
    read = {register.offset >> 2: 0 if register.access == "wo" else contents[register.name] for register in registers}
    width = max(read).bit_length()
    words, eights = [Value.cast(read.get(number, 0)) for number in range(1 << width)], []
    for k in range(0, len(words), 8):
        eights.append(Signal(32, name=f"words{k}", reset_less=True))
        m.d.sync += eights[-1].eq(select(words[k:k + 8], bus.read_address[:3]))
    m.d.comb += bus.read_data.eq(select(eights, bus.read_address[3:width]))
    with m.Switch(bus.read_address):
        with m.Case(*read):
            pass
        with m.Default():
            m.d.comb += bus.read_error.eq(1)
    with m.Switch(bus.write_address):
        for register in registers:
            if register.access == "ro":
                continue
            with m.Case(register.offset >> 2):
                if register.access == "rw":
                    content = contents[register.name]
                    m.d.sync += content.eq((content & ~mask) | (bus.write_data & mask))
                else:
                    ones[register.name] = Signal(32, name=f"{register.name.lower()}_ones")
                    m.d.comb += ones[register.name].eq(bus.write_data & mask)
        with m.Default():
            m.d.comb += bus.write_error.eq(1)
    return ones


@dataclass(frozen=True)
class Geometry:
    """A frame at the input or output.

    Parameters
    ----------
    tensor : Tensor
        What a frame holds.
    beats : int
        Beats a frame.
    bits : int
        Bits a beat, without padding.
    """

    tensor: Tensor
    beats: int
    bits: int

    def words(self, prefix):
        """Contents of the registers that describe it."""
        height, width, channels = self.tensor.shape
        values = self.tensor.values
        if max(height, width, channels) >> 16 or values.bits >> 8:
            raise ValueError(f"{self.tensor} is beyond what registers can tell")
        return {
            f"{prefix}_SIZE": height << 16 | width,
            f"{prefix}_VALUES": channels << 16 | values.bipolar << 9 | values.signed << 8 | values.bits,
            f"{prefix}_BEATS": self.beats,
            f"{prefix}_BITS": self.bits,
        }


class RegisterFile(wiring.Component):
    """The registers, behind AXI4-Lite.

    What :data:`REGISTERS` does not allow gives SLVERR: a word that it does not list, or writing to a ``ro``
    one. A ``wo`` register reads as zero.

    Parameters
    ----------
    version : str
        Of the generator, such as ``"1.2.3"``.
    build : int
        32 bits that tell this build from others.
    input, output : Geometry
        Frames at either end.

    Members
    -------
    axi : In(AxiLite(ADDRESS_WIDTH))
        Where the host asks.
    events : In(StructLayout)
        A bit for each of :data:`EVENTS`: it happens in this cycle.
    """

    unit_name = "registers"

    def __init__(self, *, version, build, input, output):
        self.constants = {
            "IDENTITY": MAGIC, "VERSION": pack_version(version), "BUILD": build,
            **input.words("INPUT"), **output.words("OUTPUT")}
        self.cycles = Signal(64)
        super().__init__({
            "axi": In(AxiLite(ADDRESS_WIDTH)),
            "events": In(data.StructLayout(dict.fromkeys(EVENTS, 1))),
        })

    def elaborate(self, platform):
        m = Module()

        bus = add_unit(m, "bus", AxiLiteTarget(ADDRESS_WIDTH), platform)
        connect(m, flipped(self.axi), bus.axi)

        events = Signal.like(self.events)
        counters = {name.upper(): Signal(32, name=name) for name in EVENTS}
        cycles, cycles_high = self.cycles, Signal(32)
        errors = Signal(2)
        written = serve(m, bus, REGISTERS, self.constants | counters | {
            "ERRORS": errors, "CYCLES": cycles[:32], "CYCLES_HIGH": cycles_high})
        clear = written["CONTROL"][0]

        m.d.sync += [
            events.eq(self.events),
            cycles.eq(Mux(clear, 0, cycles + 1)),
            errors.eq(errors & ~written["ERRORS"][:2] | Cat(events.short_frames, events.long_frames)),
        ]
        for name, counter in zip(EVENTS, counters.values(), strict=True):
            m.d.sync += counter.eq(Mux(clear, 0, counter + events[name]))
        with m.If(bus.read & (bus.read_address == OFFSETS["CYCLES"] >> 2)):
            m.d.sync += cycles_high.eq(cycles[32:])

        return m
