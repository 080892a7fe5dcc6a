"""Input quantiser: a table of 256 entries for each byte of a payload."""

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import nest
from .memory import Rom

__all__ = ["Lookup"]


class Lookup(wiring.Component):
    """``table[channel, byte]`` of every byte.

    Parameters
    ----------
    layer : gen.network.Lookup
    simd : int
        Bytes in a payload.
    file : str
        Stem of the table files.
    """

    def __init__(self, layer, *, simd, file):
        self.layer, self.simd, self.file = layer, simd, file
        self.unit_name = file
        super().__init__({
            "i": In(stream.Signature(simd * 8)),
            "o": Out(stream.Signature(simd * layer.values.bits)),
        })

    def elaborate(self, platform):
        m = Module()

        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(self.i.valid)
        codes = self.layer.values.encode(self.layer.table)
        shared = len(codes) == 1
        folds = 1 if shared else self.layer.input.channels // self.simd
        fold, _ = nest(m, self.i.valid & self.i.ready, fold=folds)["fold"]
        results = []
        for k in range(self.simd):
            contents = codes[0] if shared else np.concatenate(codes[k::self.simd])
            m.submodules[f"table{k}"] = rom = Rom(
                contents.tolist(), self.layer.values.bits, self.file if shared else f"{self.file}_{k}", f"table{k}")
            m.d.comb += [rom.read.addr.eq(Cat(self.i.payload.word_select(k, 8), fold)), rom.read.en.eq(advance)]
            results.append(rom.read.data)
        m.d.comb += self.o.payload.eq(Cat(results))

        return m
