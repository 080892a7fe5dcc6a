"""Maximum or sum of the taps that a window gives."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .codes import decoded
from .counters import nest

__all__ = ["Reduce"]


class Reduce(wiring.Component):
    """Pooling: for one-bit data the maximum is an OR.

    Parameters
    ----------
    layer : gen.network.Pool
    simd, pixels : int
        Channels and neighbouring positions in a payload.
    flagged : bool
        Whether the window flags padding (which then adds nothing to a sum).

    Members
    -------
    i : In(stream.Signature(pixels * (simd * bits + flagged)))
        Taps as :class:`gen.hw.window.Window` gives them one column at a time, a flag a position.
    o : Out(stream.Signature(pixels * simd * output bits))
        Position 0 in the low bits.
    """

    def __init__(self, layer, *, simd, pixels=1, flagged=False):
        self.layer, self.simd, self.pixels, self.flagged = layer, simd, pixels, flagged
        self.source, self.values = layer.input.values, layer.output.values
        self.taps = layer.kernel[0] * layer.kernel[1]
        self.unit_name = (f"{layer.kind}_pool_{self.taps}_{pixels}x{simd}x{self.source.label}_{self.values.label}"
                          + "_flag" * flagged)
        super().__init__({
            "i": In(stream.Signature(pixels * (simd * self.source.bits + flagged))),
            "o": Out(stream.Signature(pixels * simd * self.values.bits)),
        })

    def _decoded(self, word):
        return word if self.source.bipolar and self.layer.kind == "max" else decoded(word, self.source)

    def _merged(self, best, value):
        if self.layer.kind == "sum":
            return best + value
        plain_bit = len(value) == 1 and not self.source.signed  # a signed one is 0 or -1
        return best | value if plain_bit else Mux(value > best, value, best)

    def elaborate(self, platform):
        m = Module()

        tap, last = nest(m, self.i.valid & self.i.ready, tap=self.taps)["tap"]
        m.d.comb += self.i.ready.eq(~last | ~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & last & (~self.o.valid | self.o.ready)):
            m.d.sync += self.o.valid.eq(1)
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        flags = self.i.payload[-self.pixels:]
        for k in range(self.pixels * self.simd):
            value = self._decoded(self.i.payload.word_select(k, self.source.bits))
            if self.flagged:
                value = Mux(flags[k // self.simd], 0, value)
            best = Signal(Shape(self.values.bits, self.values.signed), name=f"best{k}", reset_less=True)
            merged = Signal.like(best, name=f"merged{k}")
            m.d.comb += merged.eq(Mux(tap == 0, value, self._merged(best, value)))
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += best.eq(merged)
                with m.If(last):
                    m.d.sync += result.word_select(k, self.values.bits).eq(merged)

        return m
