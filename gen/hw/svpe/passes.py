"""Passes become slots."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import Op
from .records import layout
from .token import Token

__all__ = ["PassUnit"]


class PassUnit(wiring.Component):
    """Gives the first chain a token for every slot of every pass, one a clock.

    A pass begins when its record and its weights are there: in the clock after the last slot of the one before, or
    ``taps - 1`` clocks later if the pattern is another, so that rasters of different leads do not meet.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    record : In(stream.Signature(layout(Op.PASS)))
        PASS records; at most 1024 rows and as many slots in each. Is taken two clocks before its first token.
    loaded : In(1)
        The weights of the next pass are there. Must fall within the clocks of a pass after ``start``.
    token : Out(Token())
    start : Out(1)
        The token is the first of a pass.
    idle, unloaded : Out(1)
        An event for each clock without a slot for want of a record, or of weights.
    """

    def __init__(self, shape):
        self.taps = shape.taps
        self.unit_name = f"pass_unit_{self.taps}"
        super().__init__({
            "record": In(stream.Signature(layout(Op.PASS))),
            "loaded": In(1),
            "token": Out(Token()),
            "start": Out(1),
            "idle": Out(1),
            "unloaded": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        work, coming = Signal.like(self.record.payload, name="work"), self.record.p
        busy, begun = Signal(), Signal()  # a slot in this clock; the first one
        row, column = Signal(10), Signal(10)
        below, right, width = Signal(10), Signal(10), Signal(10)  # rows and slots beyond; slots beyond a row's first
        row_last, bottom = Signal(), Signal()  # `right`, `below` are 0
        target = Signal(16)
        pauses = Signal(self.taps - 1)  # of the clocks just before this one, those without a slot
        end, valid, free, apart, begin = (Signal(name=name) for name in ("end", "valid", "free", "apart", "begin"))
        m.d.comb += [
            end.eq(row_last & bottom), valid.eq(column < work.columns),
            free.eq(~busy | end), apart.eq(Cat(~busy, pauses)[:self.taps - 1].all()),
            begin.eq(self.record.valid & self.loaded & free & (apart | (coming.pattern == work.pattern))),
            self.record.ready.eq(begin),
            self.idle.eq(free & ~self.record.valid), self.unloaded.eq(free & self.record.valid & ~self.loaded),
        ]

        m.d.sync += [
            pauses.eq(Cat(~busy, pauses)), begun.eq(begin), target.eq(target + valid),
            column.eq(column + 1), right.eq(right - 1), row_last.eq(right == 1),
        ]
        with m.If(row_last):
            m.d.sync += [column.eq(0), right.eq(width), row_last.eq(width == 0),
                         row.eq(row + 1), below.eq(below - 1), bottom.eq(below == 1)]
        with m.If(begin):
            m.d.sync += [
                busy.eq(1), work.eq(coming), target.eq(coming.target),
                column.eq(0), right.eq(coming.period - 1), width.eq(coming.period - 1), row_last.eq(coming.period == 1),
                row.eq(0), below.eq(coming.rows - 1), bottom.eq(coming.rows == 1),
            ]
        with m.Elif(end):
            m.d.sync += busy.eq(0)

        m.d.comb += self.start.eq(self.token.start)
        m.d.sync += [self.token[name].eq(value) for name, value in {
            "slot": busy, "start": begun, "pattern": work.pattern, "offset": work.offset, "row": row, "column": column,
            "row_last": row_last, "end": busy & end, "valid": busy & valid, "first": work.first, "last": work.last,
            "target": target,
        }.items()]

        return m
