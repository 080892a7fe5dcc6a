# amaranth: UnusedElaboratable=no
"""Registers side by side for what drives very much."""

import pathlib

from amaranth import *

__all__ = ["copied"]


class _Copies:
    """Instance ``name`` of the Verilog template."""

    template = pathlib.Path(__file__).parent / "verilog" / "copies.v"

    def __init__(self, name, value, copies):
        self.name, self.value = name, Signal(len(value), name=f"{name}_value")
        self.all = Signal(copies * len(value), name=f"{name}_all")

    def connections(self):
        """Parameters and ports of the template."""
        return {"p_WIDTH": len(self.value), "p_COPIES": len(self.all) // len(self.value), "i_clk": ClockSignal(),
                "i_value": self.value, "o_all": self.all}


def copied(m, platform, value, copies, name):
    """``value`` a clock later, a list of ``copies``, each of which should drive as much as the others."""
    if copies == 1 or not hasattr(platform, "instance"):
        register = Signal(len(value), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return [register] * copies
    cells = _Copies(name, value, copies)
    m.d.comb += cells.value.eq(value)
    m.submodules[name] = platform.instance(cells)
    return [cells.all.word_select(k, len(value)) for k in range(copies)]
