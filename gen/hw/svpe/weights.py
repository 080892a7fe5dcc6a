# amaranth: UnusedElaboratable=no
"""Weights on their way from memory to the array."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import Op
from ...svpe.shape import WORD
from ..frames import Beat
from ..stream import convert, pipeline, wrapping
from ..units import add_unit
from .dma import Command
from .records import layout

__all__ = ["WeightUnit"]


class WeightUnit(wiring.Component):
    """Fetches sets of weights and gives them a cell at a time, without what pads each set.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    record : In(stream.Signature(layout(Op.WEIGHTS)))
    command : Out(stream.Signature(Command()))
        What to read.
    i : In(stream.Signature(Beat(WORD)))
        What was read.
    o : Out(stream.Signature(shape.word_bits))
        Codes of one cell in all lanes: cell by cell, chain by chain, set by set.
    """

    unit_name = "weight_unit"

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "record": In(stream.Signature(layout(Op.WEIGHTS))),
            "command": Out(stream.Signature(Command())),
            "i": In(stream.Signature(Beat(WORD))),
            "o": Out(stream.Signature(shape.word_bits)),
        })

    def elaborate(self, platform):
        m = Module()

        shape = self.shape
        m.d.comb += [
            self.command.valid.eq(self.record.valid), self.record.ready.eq(self.command.ready),
            self.command.p.address.eq(self.record.p.address), self.command.p.words.eq(self.record.p.words),
        ]
        given, padded = (stream.Signature(width).create(path=[name])
                         for name, width in (("given", WORD), ("padded", shape.word_bits)))
        units = [add_unit(m, f"convert{number}", unit, platform)
                 for number, unit in enumerate(convert(1, WORD, shape.word_bits))]
        pipeline(m, given, *units, sink=wiring.flipped(padded))
        cell = Signal(range(shape.set_words * WORD // shape.word_bits))
        _, following = wrapping(cell, shape.set_words * WORD // shape.word_bits)
        real = cell < shape.chains * shape.taps
        m.d.comb += [
            given.payload.eq(self.i.p.data), given.valid.eq(self.i.valid), self.i.ready.eq(given.ready),
            self.o.payload.eq(padded.payload),
            self.o.valid.eq(padded.valid & real),
            padded.ready.eq(self.o.ready | ~real),
        ]
        with m.If(padded.valid & padded.ready):
            m.d.sync += cell.eq(following)

        return m
