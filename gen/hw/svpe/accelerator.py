# amaranth: UnusedElaboratable=no
"""The accelerator around the array: memory buses, and registers for the host."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ... import __version__
from ..axi import AxiLite
from ..registers import ADDRESS_WIDTH
from ..units import add_unit
from .dma import Axi4, Axi4Read, forwarded
from .engine import Engine
from .registers import RegisterFile

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Runs a program for each frame, layer after layer from memory. After an error it resets itself, but the registers.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    build : int
        32 bits that a program must be for.

    Members
    -------
    m_axi_program, m_axi_weights : Out(Axi4Read())
    m_axi_features : Out(Axi4())
        Feature maps, patterns and parameters.
    s_axi : In(AxiLite)
        See :data:`gen.hw.svpe.registers.REGISTERS`.
    """

    unit_name = "shell"

    def __init__(self, shape, build):
        self.shape, self.build = shape, build
        super().__init__({
            "m_axi_program": Out(Axi4Read()),
            "m_axi_weights": Out(Axi4Read()),
            "m_axi_features": Out(Axi4()),
            "s_axi": In(AxiLite(ADDRESS_WIDTH)),
        })

    def elaborate(self, platform):
        m = Module()

        engine = add_unit(m, "engine", Engine(self.shape, self.build), platform)
        registers = add_unit(m, "registers", RegisterFile(version=__version__, build=self.build), platform)
        connect(m, flipped(self.s_axi), registers.axi)
        for name in ("program", "weights", "features"):
            m.d.comb += forwarded(getattr(engine, name), getattr(self, f"m_axi_{name}"))
        m.d.comb += [
            engine.clock.eq(ClockSignal()), engine.reset.eq(ResetSignal() | (engine.halted & engine.quiet)),
            engine.base.eq(registers.base), engine.start.eq(registers.start),
            registers.status.busy.eq(engine.busy), registers.status.done.eq(engine.done),
            registers.status.halted.eq(engine.halted), registers.errors.eq(engine.errors),
            registers.events.eq(engine.events),
        ]

        return m
