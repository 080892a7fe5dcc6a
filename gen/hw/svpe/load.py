# amaranth: UnusedElaboratable=no
"""Pixels, patterns and parameters on their way from memory to where they are used."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import PATTERN_ROOM, Load, Op
from ...svpe.shape import WORD
from ..fifo import Fifo
from ..frames import Beat
from ..units import add_unit
from .dma import Command
from .parameters import ParametersWrite
from .records import layout
from .rows import Write

__all__ = ["LoadUnit"]

_AHEAD = 32  # rows whose words are awaited


class _Row(data.StructLayout):
    """What must be known when the words of a row come; ``end`` says that it is the record's last."""

    def __init__(self):
        super().__init__({"kind": 2, "target": 16, "chain_first": 8, "chain_count": 8, "end": 1})


class LoadUnit(wiring.Component):
    """Commands what LOAD records want to have read, and writes it: a word a clock, two clocks after it comes.

    Commands run ahead of the words, also those of the records that follow.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    record : In(stream.Signature(layout(Op.LOAD)))
        LOAD records; each of at least one row, of at least one word.
    command : Out(stream.Signature(Command()))
        What to read: a row of a record at a time.
    i : In(stream.Signature(Beat(WORD)))
        What was read; ``last`` is that of its command.
    pixels : Out(Write(chain_words, chains))
        To the buffers of the chains.
    patterns : Out(Write(PATTERN_ROOM, chains))
        To their patterns.
    parameters : Out(ParametersWrite())
        To those of the output channels.
    done : Out(1)
        High for a clock when the last word of a record has been written: once for each, in order.
    """

    def __init__(self, shape):
        self.chains, self.words = shape.chains, shape.chain_words
        self.unit_name = f"load_unit_{self.chains}x{self.words}"
        super().__init__({
            "record": In(stream.Signature(layout(Op.LOAD))),
            "command": Out(stream.Signature(Command())),
            "i": In(stream.Signature(Beat(WORD))),
            "pixels": Out(Write(self.words, self.chains)),
            "patterns": Out(Write(PATTERN_ROOM, self.chains)),
            "parameters": Out(ParametersWrite()),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        rows = add_unit(m, "rows", Fifo(_Row().size, _AHEAD), platform)
        self._command(m, rows.i)
        self._write(m, _Row()(rows.o.payload), rows.o)

        return m

    def _command(self, m, rows):
        """Issue a command for each row of each record, and keep in ``rows`` what it is for."""
        work = Signal.like(self.record.payload)
        row, step = Signal(_Row()), Signal()
        m.d.comb += [row[name].eq(work[name]) for name in row.shape().members if name != "end"]
        m.d.comb += [
            self.record.ready.eq(work.rows == 0),
            self.command.valid.eq(~self.record.ready & rows.ready), step.eq(self.command.valid & self.command.ready),
            self.command.p.address.eq(work.address), self.command.p.words.eq(work.row_words),
            row.end.eq(work.rows == 1), rows.payload.eq(row), rows.valid.eq(step),
        ]
        with m.If(step):
            m.d.sync += [work.rows.eq(work.rows - 1), work.address.eq(work.address + work.row_stride)]
        with m.If(self.record.valid & self.record.ready):
            m.d.sync += work.eq(self.record.p)

    def _write(self, m, row, rows):
        """Say where each word goes, then which chains take it."""
        index = Signal(16)  # of the word within its record
        step, last, end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(rows.valid), step.eq(self.i.valid & rows.valid), last.eq(step & self.i.p.last),
            rows.ready.eq(last), end.eq(last & row.end),
        ]
        with m.If(step):
            m.d.sync += index.eq(Mux(end, 0, index + 1))

        patterns = row.kind == Load.PATTERNS
        kinds, word = Signal(3), Signal(WORD, reset_less=True)
        place, first, beyond = Signal(16), Signal(8), Signal(9)
        m.d.sync += [
            kinds.eq(Mux(step, 1 << row.kind, 0)), word.eq(self.i.p.data),
            place.eq(row.target + Mux(patterns, 0, index)),
            first.eq(row.chain_first + Mux(patterns, index, 0)),
            beyond.eq(row.chain_first + Mux(patterns, index + 1, row.chain_count)),
        ]
        chains = Cat((first <= r) & (r < beyond) for r in range(self.chains))
        written, address, ended = Signal.like(word, name="written", reset_less=True), Signal.like(place), Signal(3)
        m.d.comb += [port.data.eq(written) for port in (self.pixels, self.patterns, self.parameters)]
        m.d.comb += [
            self.pixels.address.eq(address), self.patterns.address.eq(address), self.parameters.index.eq(address),
            self.done.eq(ended[-1]),
        ]
        m.d.sync += [
            self.pixels.en.eq(Mux(kinds[Load.PIXELS], chains, 0)),
            self.patterns.en.eq(Mux(kinds[Load.PATTERNS], chains, 0)),
            self.parameters.en.eq(kinds[Load.PARAMETERS]),
            written.eq(word), address.eq(place), ended.eq(Cat(end, ended)),
        ]
