# amaranth: UnusedElaboratable=no
"""Memories by their use: contents from a file, line buffers, small queues.

In Amaranth's simulator these are ordinary memories. While emitting, the platform replaces each by an instance of its
Verilog ``template``, so that contents stay in ``.mem`` files and vendors' tools infer what they know.
"""

import pathlib

from amaranth import ClockSignal, Module, Signal
from amaranth.lib import memory

from ..memory_cost import choose, in_blocks
from .rom_parts import RomParts, hex_words

__all__ = ["Queue", "Ram", "Rom", "in_blocks"]

_TEMPLATES = pathlib.Path(__file__).parent / "verilog"


class _Memory(memory.Memory):
    """Contents, ports, and what to instantiate in their place; ``name`` is that of the instance."""

    @property
    def template(self):
        """File of the Verilog module."""
        return _TEMPLATES / f"{type(self).__name__.lower()}.v"

    def elaborate(self, platform):
        return platform.instance(self) if hasattr(platform, "instance") else super().elaborate(platform)


class Rom(_Memory):
    """Words with one synchronous read port.

    Parameters
    ----------
    words : list of int
    width : int
        Bits of a word.
    file : str
        Stem of the ``.mem`` file they go to; what the names of the files begin with where there are several.
    name : str
        Of the instance.
    form : tuple of gen.memory_cost.Part, optional
        How the words are kept; as :func:`gen.memory_cost.choose` says if not given.
    registered : bool
        ``read.data`` come two clocks after ``read.addr``, both with ``read.en``, and one clock after it if not.
    """

    def __init__(self, words, width, file, name, *, form=None, registered=False):
        words = list(words)
        words += words[:1] * (len(words) == 1)  # one word alone would leave no address
        self.width, self.file, self.name, self.registered = width, f"{file}.mem", name, registered
        self.form = form or choose(width, len(words))
        if sum(part.depth for part in self.form) != len(words):
            raise ValueError(f"{name}: {len(words)} words do not fill the form {' and '.join(map(str, self.form))}")
        super().__init__(shape=width, depth=len(words), init=words)
        self._port = self.read = self.read_port()
        if registered:
            self.read = memory.ReadPort.Signature(addr_width=len(self._port.addr), shape=width).create()
            self.read.data = Signal(width, reset_less=True)

    def elaborate(self, platform):
        if hasattr(platform, "instance") and (len(self.form) > 1 or self.form[0].style == "shared"):
            return platform.share(self.name, self._parts())
        if hasattr(platform, "instance") or not self.registered:
            return super().elaborate(platform)
        m = Module()
        m.submodules.words = super().elaborate(platform)
        m.d.comb += [self._port.addr.eq(self.read.addr), self._port.en.eq(self.read.en)]
        with m.If(self.read.en):
            m.d.sync += self.read.data.eq(self._port.data)
        return m

    def _parts(self):
        """What takes this memory's place, with its ports."""
        parts = RomParts(list(self.init), self.width, self.form, registered=self.registered,
                         file=self.file.removesuffix(".mem"))
        parts.en, parts.addr, parts.data = self.read.en, self.read.addr, self.read.data
        return parts

    def contents(self):
        """Text of the ``.mem`` file."""
        return hex_words(self.init, self.width)

    def connections(self):
        """Parameters and ports of the template."""
        return {"p_WIDTH": self.width, "p_DEPTH": self.depth, "p_STYLE": self.form[0].style,
                "p_REGISTERED": int(self.registered), "p_INIT_FILE": self.file,
                "i_clk": ClockSignal(), "i_en": self.read.en, "i_addr": self.read.addr, "o_data": self.read.data}


class _Buffer(_Memory):
    def __init__(self, width, depth, name, domain):
        self.width, self.name = width, name
        super().__init__(shape=width, depth=max(2, depth), init=[])
        self.write, self.read = self.write_port(), self.read_port(domain=domain)

    def connections(self):
        """Parameters and ports of the template."""
        return {"p_WIDTH": self.width, "p_DEPTH": self.depth, "i_clk": ClockSignal(),
                "i_write_en": self.write.en, "i_write_addr": self.write.addr, "i_write_data": self.write.data,
                "i_read_addr": self.read.addr, "o_read_data": self.read.data}


class Ram(_Buffer):
    """One write port, one synchronous read port; the same word is never read and written at once."""

    def __init__(self, width, depth, name):
        super().__init__(width, depth, name, "sync")

    def connections(self):
        """Parameters and ports of the template."""
        style = "block" if in_blocks(self.width, self.depth) else "distributed"
        return super().connections() | {"p_STYLE": style, "i_read_en": self.read.en}


class Queue(_Buffer):
    """One write port, one asynchronous read port: LUT RAM."""

    def __init__(self, width, depth, name):
        super().__init__(width, depth, name, "comb")
