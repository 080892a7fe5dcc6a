# amaranth: UnusedElaboratable=no
"""Records in hardware: how their fields lie, and the queue in which they wait for their turn."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import HEAD, LAYOUTS
from ..fifo import Fifo
from ..units import add_unit

__all__ = ["COUNTED", "RecordQueue", "layout"]

COUNTED = ("loads", "passes", "drains")  # whose completion records can wait for
_COUNT = dict(HEAD)["after_loads"]


def layout(op):
    """Fields of a record after its head."""
    return data.StructLayout(dict(LAYOUTS[op]))


class RecordQueue(wiring.Component):
    """The records of one unit, in order, each until what it waits for is complete.

    Parameters
    ----------
    op : gen.svpe.records.Op
    depth : int
        Records that can wait.

    Members
    -------
    i : In(stream.Signature(StructLayout))
        The waits of a record, ``after_loads`` and so on, and its fields.
    completed : In(StructLayout)
        For each of :data:`COUNTED` how many are complete, modulo 2**16.
    halt : In(1)
        Offer nothing new.
    o : Out(stream.Signature(layout(op)))
        Records whose turn has come.
    missing : Out(StructLayout)
        For each of :data:`COUNTED` whether the next record waits for it, while none is offered.
    """

    def __init__(self, op, depth):
        self.op, self.depth = op, depth
        self.unit_name = f"queue_{op.name.lower()}_{depth}"
        self.waits = data.StructLayout({f"after_{name}": _COUNT for name in COUNTED})
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"waits": self.waits, "fields": layout(op)}))),
            "completed": In(data.StructLayout(dict.fromkeys(COUNTED, _COUNT))),
            "halt": In(1),
            "o": Out(stream.Signature(layout(op))),
            "missing": Out(data.StructLayout(dict.fromkeys(COUNTED, 1))),
        })

    def elaborate(self, platform):
        m = Module()

        shape = self.i.payload.shape()
        fifo = add_unit(m, "fifo", Fifo(shape.size, self.depth), platform)
        record = shape(fifo.o.payload)
        late = Signal.like(self.missing)
        take = Signal()
        for name in COUNTED:  # less than 2**15 behind
            m.d.comb += late[name].eq((self.completed[name] - record.waits[f"after_{name}"])[_COUNT - 1])
        m.d.comb += [
            fifo.i.payload.eq(self.i.payload), fifo.i.valid.eq(self.i.valid), self.i.ready.eq(fifo.i.ready),
            take.eq(fifo.o.valid & ~late.as_value().any() & ~self.halt & (~self.o.valid | self.o.ready)),
            fifo.o.ready.eq(take),
            self.missing.eq(Mux(fifo.o.valid & ~self.o.valid, late, 0)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(record.fields)]

        return m
