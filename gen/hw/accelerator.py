# amaranth: UnusedElaboratable=no
"""The accelerator: the network between two AXI4-Streams, watched through AXI4-Lite."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .. import __version__
from ..folding import Payload, beats
from .axi import AxiLite, AxiStream, from_axi, to_axi
from .core import Core
from .frames import FrameFilter, FrameGuard
from .pool import BlockPool
from .registers import ADDRESS_WIDTH, Geometry, RegisterFile
from .units import add_unit
from .window import Window

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Frames of pixels in, frames of scores out.

    Parameters
    ----------
    network : gen.network.Network
    foldings : dict of gen.folding.Folding
    build : int
        32 bits that the hardware answers when asked what it is.

    Members
    -------
    s_axis : In(AxiStream)
        Pixels, channel 0 of the first pixel in the low byte; ``tlast`` on the last beat of a frame.
    m_axis : Out(AxiStream)
        One score a beat, sign-extended to whole bytes (or channel numbers, where the network ends in a choice).
    s_axi : In(AxiLite)
        See :data:`gen.hw.registers.REGISTERS`.
    """

    unit_name = "shell"

    def __init__(self, network, foldings, build):
        self.network, self.build = network, build
        self.core = Core(network, foldings)
        super().__init__({
            "s_axis": In(AxiStream(len(self.core.i.payload))),
            "m_axis": Out(AxiStream(len(self.core.o.payload))),
            "s_axi": In(AxiLite(ADDRESS_WIDTH)),
        })

    def _in_flight(self):
        """Frames that can be inside at once: what every window and pool holds, and one on its way to it."""
        rows = [unit.rows // unit.layer.input.height if isinstance(unit, Window) else 0
                for unit in self.core.units.values() if isinstance(unit, Window | BlockPool)]
        return 2 + sum(2 + images for images in rows)

    def elaborate(self, platform):
        m = Module()

        network, core = self.network, self.core
        taken = Geometry(network.input, beats(network.input, Payload(len(core.i.payload) // 8)), len(core.i.payload))
        given = Geometry(network.output, beats(network.output, Payload(1)), len(core.o.payload))
        score = Shape(network.output.values.bits, network.output.values.signed)

        guard = add_unit(m, "guard", FrameGuard(taken.beats, taken.bits), platform)
        add_unit(m, "core", core, platform)
        filter = add_unit(m, "filter", FrameFilter(given.beats, score, depth=self._in_flight()), platform)
        registers = add_unit(m, "registers", RegisterFile(
            version=__version__, build=self.build, input=taken, output=given), platform)

        m.d.comb += [from_axi(self.s_axis, guard.i), to_axi(filter.o, self.m_axis)]
        connect(m, guard.o, core.i)
        connect(m, guard.verdict, filter.verdict)
        m.d.comb += [filter.i.valid.eq(core.o.valid), core.o.ready.eq(filter.i.ready),
                     filter.i.payload.eq(core.o.payload)]
        connect(m, flipped(self.s_axi), registers.axi)

        s_axis, m_axis, events = self.s_axis, self.m_axis, registers.events
        m.d.comb += [
            events.frames_in.eq(guard.verdict.valid & guard.verdict.ready),
            events.frames_out.eq(m_axis.tvalid & m_axis.tready & m_axis.tlast),
            events.input_stalls.eq(s_axis.tvalid & ~s_axis.tready),
            events.output_stalls.eq(m_axis.tvalid & ~m_axis.tready),
            events.idle.eq(~s_axis.tvalid & s_axis.tready),
            events.short_frames.eq(guard.short),
            events.long_frames.eq(guard.long),
        ]

        return m
