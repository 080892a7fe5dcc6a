# amaranth: UnusedElaboratable=no
"""Fetches a program and gives its records to the units that execute them."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import HEAD, RECORD, Op
from ...svpe.shape import WORD
from ..frames import Beat
from ..stream import Gather
from ..units import add_unit
from .dma import ADDRESS_BITS, Command
from .records import COUNTED, RecordQueue, layout

__all__ = ["Sequencer"]

_HEAD_BITS = sum(bits for _, bits in HEAD)
_UNITS = {"load": Op.LOAD, "weights": Op.WEIGHTS, "pass_": Op.PASS, "drain": Op.DRAIN}
_WORKS = dict(zip(COUNTED, (Op.LOAD, Op.PASS, Op.DRAIN), strict=True))
_DONE = dict(zip(COUNTED, ("load_done", "pass_done", "drain_done"), strict=True))


class Sequencer(wiring.Component):
    """Runs the program at the base address.

    Reads its first record, and if that is a HEADER for this hardware all the others: a record in two clocks. Each goes
    to the queue of its unit, which offers it when what it waits for is complete.

    After an error no further record is fetched or offered until reset. The units finish what they have been given as
    far as they can; when the bus is idle, all of them must be reset.

    Parameters
    ----------
    build : int
        32 bits that the HEADER must have.
    depth : int
        Records that each unit can have waiting.
    address_bits : int
        Bits of a byte address.

    Members
    -------
    start : In(1)
        Begin, unless busy.
    command : Out(stream.Signature(Command(address_bits)))
        What to read of the program.
    i : In(stream.Signature(Beat(WORD)))
        What was read.
    load, weights, pass_, drain : Out(stream.Signature(layout(op)))
        Records for each unit.
    load_done, pass_done, drain_done : In(1)
        High for a clock for each such record that is complete.
    bus_error : In(1)
        A response on the bus was an error.
    busy : Out(1)
        Between start and done.
    done : Out(1)
        END was reached, and all records are complete; until the next start.
    halted : Out(1)
        There was an error; until reset.
    errors : Out(StructLayout)
        Until reset: ``foreign``, the program does not begin with a HEADER for this hardware; ``invalid``, a record is
        none, or END is not the last of as many as the HEADER says.
    missing : Out(StructLayout)
        For each of ``loads``, ``passes`` and ``drains`` whether the next PASS waits for it, while none is offered.
    """

    unit_name = "sequencer"

    def __init__(self, build, *, depth=16, address_bits=ADDRESS_BITS):
        self.build, self.depth = build, depth
        super().__init__({
            "start": In(1),
            "command": Out(stream.Signature(Command(address_bits))),
            "i": In(stream.Signature(Beat(WORD))),
            **{name: Out(stream.Signature(layout(op))) for name, op in _UNITS.items()},
            **dict.fromkeys(_DONE.values(), In(1)),
            "bus_error": In(1),
            "busy": Out(1),
            "done": Out(1),
            "halted": Out(1),
            "errors": Out(data.StructLayout({"foreign": 1, "invalid": 1})),
            "missing": Out(data.StructLayout(dict.fromkeys(COUNTED, 1))),
        })

    def elaborate(self, platform):
        m = Module()

        gather = add_unit(m, "gather", Gather(WORD, RECORD // WORD), platform)
        head = data.StructLayout(dict(HEAD))(gather.o.payload[:_HEAD_BITS])
        header = layout(Op.HEADER)(gather.o.payload[_HEAD_BITS:][:layout(Op.HEADER).size])
        names = ("valid", "foreign", "invalid", "known", "in_place", "taken", "begin")
        valid, foreign, invalid, known, in_place, taken, begin = (Signal(name=name) for name in names)
        left = Signal(32)  # records to come
        queues = {op: add_unit(m, f"{op.name.lower()}_queue", RecordQueue(op, self.depth), platform)
                  for op in _UNITS.values()}
        complete = self._queued(m, queues, head, gather.o.payload[_HEAD_BITS:], begin)

        m.d.comb += [
            gather.i.payload.eq(self.i.p.data), gather.i.valid.eq(self.i.valid), self.i.ready.eq(gather.i.ready),
            valid.eq(gather.o.valid & ~self.halted), gather.o.ready.eq(taken),
            in_place.eq((head.op == Op.END) == (left == 1)),
        ]
        m.d.sync += [
            self.errors.eq(self.errors.as_value() | Cat(foreign, invalid)),
            self.halted.eq(self.halted | foreign | invalid | self.bus_error),
        ]
        with m.If(self.command.ready):
            m.d.sync += self.command.valid.eq(0)

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += begin.eq(self.start & ~self.halted)
                with m.If(begin):
                    m.d.sync += [self.done.eq(0), *self._fetch(0, 1)]
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [
                    foreign.eq(valid & ((head.op != Op.HEADER) | (header.build != self.build))),
                    invalid.eq(valid & ~foreign & (header.records < 2)),
                    taken.eq(valid & ~foreign & ~invalid),
                ]
                with m.If(taken):
                    m.d.sync += [left.eq(header.records - 1), *self._fetch(1, header.records - 1)]
                    m.next = "RECORDS"
            with m.State("RECORDS"):
                m.d.comb += invalid.eq(valid & ~(known & in_place))
                with m.Switch(head.op):
                    for op, queue in queues.items():
                        with m.Case(op):
                            m.d.comb += [known.eq(1), queue.i.valid.eq(valid & in_place),
                                         taken.eq(queue.i.valid & queue.i.ready)]
                    with m.Case(Op.END):
                        m.d.comb += [known.eq(1), taken.eq(valid & in_place)]
                with m.If(taken):
                    m.d.sync += left.eq(left - 1)
                    with m.If(head.op == Op.END):
                        m.next = "END"
            with m.State("END"):
                with m.If(complete & ~self.halted):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"

        return m

    def _fetch(self, first, count):
        """Statements that ask for ``count`` records from number ``first`` on."""
        return [self.command.valid.eq(1), self.command.p.address.eq(first * RECORD // 8),
                self.command.p.words.eq(count * (RECORD // WORD))]

    def _queued(self, m, queues, head, fields, begin):
        """Connect the queues but for the ``valid`` of their inputs; returns whether all that went in is complete."""
        completed = Signal(data.StructLayout(dict.fromkeys(COUNTED, len(head.after_loads))), name="completed")
        given = Signal.like(completed, name="given")
        for name, op in _UNITS.items():
            queue, port = queues[op], getattr(self, name)
            m.d.comb += [
                *(queue.i.p.waits[wait].eq(head[wait]) for wait, _ in queue.waits),
                queue.i.p.fields.eq(fields[:layout(op).size]),
                queue.completed.eq(completed), queue.halt.eq(self.halted),
                port.payload.eq(queue.o.payload), port.valid.eq(queue.o.valid), queue.o.ready.eq(port.ready),
            ]
        for name, op in _WORKS.items():
            entered, done = queues[op].i.valid & queues[op].i.ready, getattr(self, _DONE[name])
            m.d.sync += [given[name].eq(Mux(begin, 0, given[name] + entered)),
                         completed[name].eq(Mux(begin, 0, completed[name] + done))]
        m.d.comb += self.missing.eq(queues[Op.PASS].missing)
        return completed.as_value() == given.as_value()
