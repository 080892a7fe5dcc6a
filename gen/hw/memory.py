"""Memories by their use: contents from a file, line buffers, small queues.

In Amaranth's simulator these are ordinary memories. While emitting, the platform replaces each by an instance of its
Verilog ``template``, so that contents stay in ``.mem`` files and vendors' tools infer what they know.
"""

import pathlib

from amaranth import ClockSignal
from amaranth.lib import memory

from ..memory_cost import in_blocks

__all__ = ["Queue", "Ram", "Rom", "in_blocks"]

_TEMPLATES = pathlib.Path(__file__).parent / "verilog"


class _Memory(memory.Memory):
    """Contents, ports, and what to instantiate in their place; ``name`` is that of the instance."""

    @property
    def template(self):
        """File of the Verilog module."""
        return _TEMPLATES / f"{type(self).__name__.lower()}.v"

    @property
    def style(self):
        """Whether the contents go to block RAM or to LUTs."""
        return "block" if in_blocks(self.width, self.depth) else "distributed"

    def elaborate(self, platform):
        return platform.instance(self) if hasattr(platform, "instance") else super().elaborate(platform)


class Rom(_Memory):
    """Words with one synchronous read port; ``file`` is the stem of the ``.mem`` file they go to."""

    def __init__(self, words, width, file, name):
        words = list(words)
        words += words[:1] * (len(words) == 1)  # one word alone would leave no address
        self.width, self.file, self.name = width, f"{file}.mem", name
        super().__init__(shape=width, depth=len(words), init=words)
        self.read = self.read_port()

    def contents(self):
        """Text of the ``.mem`` file: a hex word a line."""
        digits = -(-self.width // 4)
        return "".join(f"{word:0{digits}x}\n" for word in self.init)

    def connections(self):
        """Parameters and ports of the template."""
        return {"p_WIDTH": self.width, "p_DEPTH": self.depth, "p_STYLE": self.style, "p_INIT_FILE": self.file,
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
        return super().connections() | {"p_STYLE": self.style, "i_read_en": self.read.en}


class Queue(_Buffer):
    """One write port, one asynchronous read port: LUT RAM."""

    def __init__(self, width, depth, name):
        super().__init__(width, depth, name, "comb")
