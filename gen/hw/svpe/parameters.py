"""How the sums of every channel are rescaled: a memory, and what brings a group's parameters to its lanes."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import PARAMETER_ROOM, PARAMETERS
from ...svpe.shape import WORD
from ..memory import Ram

__all__ = ["FACTOR_BITS", "Entry", "Parameters", "ParametersWrite"]

FACTOR_BITS = 27  # signed: a port of a DSP block


class Entry(data.StructLayout):
    """Parameters of a channel: ``(sum * factor + addend) >> shift`` in 64 bits, with a shift of at most 63."""

    def __init__(self):
        super().__init__({"factor": signed(FACTOR_BITS), "addend": signed(64), "shift": 6})


class ParametersWrite(wiring.Signature):
    """One entry to be written, as :data:`gen.svpe.records.PARAMETERS` has it; seen from the one who writes."""

    def __init__(self):
        super().__init__({"en": Out(1), "index": Out(range(PARAMETER_ROOM)), "data": Out(WORD)})


class Parameters(wiring.Component):
    """Memory of parameters, which fetches those of a group while the group before is drained.

    Parameters
    ----------
    drains : int
        Lanes of a group.

    Members
    -------
    write : In(ParametersWrite())
    wanted : In(1)
        There is a group, for whose first lane ``index`` is.
    index : In(range(PARAMETER_ROOM))
    plain : In(1)
        Its sums stay as they are: factor 1, addend 0, shift 0.
    loaded : Out(1)
        Its parameters are in the lanes.
    start : In(1)
        High for a clock when the group is begun.
    taken : In(1)
        High for a clock when the lanes work with those parameters, and can be given others.
    entry : Out(Entry)
    load : Out(drains)
        Which lane takes ``entry``.
    """

    def __init__(self, drains):
        self.drains = drains
        self.unit_name = "parameters"
        super().__init__({
            "write": In(ParametersWrite()),
            "wanted": In(1), "index": In(range(PARAMETER_ROOM)), "plain": In(1), "loaded": Out(1), "start": In(1),
            "taken": In(1), "entry": Out(Entry()), "load": Out(drains)})

    def elaborate(self, platform):
        m = Module()

        layout, entry = data.StructLayout(dict(PARAMETERS)), Entry()
        given = layout(self.write.data[:layout.size])
        m.submodules.entries = entries = Ram(entry.size, PARAMETER_ROOM, "entries")
        fields = (given[name][:Shape.cast(shape).width] for name, shape in entry.members.items())
        lane = Signal(range(self.drains))
        fetching, waiting = Signal(), Signal()  # waiting: what is in the lanes has yet to be taken
        fetched, load = Signal(self.drains), Signal.like(self.load)
        m.d.comb += [
            entries.write.en.eq(self.write.en), entries.write.addr.eq(self.write.index),
            entries.write.data.eq(Cat(fields)),
            entries.read.en.eq(1), entries.read.addr.eq(self.index + lane),
            fetched.eq(fetching << lane),
        ]
        m.d.sync += [
            load.eq(fetched), self.load.eq(load),
            self.entry.eq(Mux(self.plain, entry.const({"factor": 1}).as_value(), entries.read.data)),
        ]
        with m.If(self.wanted & ~fetching & ~waiting):
            m.d.sync += [fetching.eq(1), waiting.eq(1)]
        with m.If(fetching):
            m.d.sync += [lane.eq(lane + 1)]
        with m.If(fetched[-1]):
            m.d.sync += [lane.eq(0), fetching.eq(0)]
        with m.If(self.load[-1]):
            m.d.sync += self.loaded.eq(1)
        with m.If(self.start):
            m.d.sync += self.loaded.eq(0)
        with m.If(self.taken):
            m.d.sync += waiting.eq(0)

        return m
