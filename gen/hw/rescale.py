"""Integers to activations of many bits: a multiplication and an addition for each channel."""

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values, pack
from .codes import decoded
from .counters import nest
from .memory import Rom

__all__ = ["Rescale"]


def _range(numbers):
    return Values(int(numbers.min()), int(numbers.max()))


class Rescale(wiring.Component):
    """``(x * factor + addend) >> shift``, clipped, as :class:`gen.network.Rescale` says; four clocks.

    Parameters
    ----------
    factor, addend : int64 arrays, shape (channels,)
    shift : int
    source, values : gen.bits.Values
        What comes in and what goes out.
    lanes : int
        Channels in a payload; divides the channels.
    file : str
        Stem of the file of factors and addends.

    Members
    -------
    i : In(stream.Signature(lanes * source.bits))
    o : Out(stream.Signature(lanes * values.bits))
    """

    def __init__(self, factor, addend, shift, *, source, values, lanes, file):
        self.factor, self.addend, self.shift = np.asarray(factor), np.asarray(addend), shift
        self.source, self.values, self.lanes, self.file, self.unit_name = source, values, lanes, file, file
        self.factors, self.addends = _range(self.factor), _range(self.addend)
        # 1 on both sides, so that a product is never narrower than what is multiplied: Verilog would warn.
        corners = [x * f for x in (source.lo, source.hi, 1) for f in (self.factors.lo, self.factors.hi, 1)]
        self.product = Values(min(corners), max(corners))
        super().__init__({
            "i": In(stream.Signature(lanes * source.bits)),
            "o": Out(stream.Signature(lanes * values.bits)),
        })

    @property
    def item_bits(self):
        """Bits of the factor and the addend of a channel."""
        return self.factors.bits + self.addends.bits

    def words(self):
        """Codes of shape (folds, lanes) to be packed: each factor below its addend."""
        codes = self.factors.encode(self.factor) | self.addends.encode(self.addend) << self.factors.bits
        return codes.reshape(-1, self.lanes)

    def elaborate(self, platform):
        m = Module()

        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def stage(value, name, **options):
            register = Signal.like(value, name=name, **options)
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        words = self.words()
        fold, _ = nest(m, self.i.valid & self.i.ready, fold=len(words))["fold"]
        m.submodules.factors = rom = Rom(pack(words, self.item_bits), self.lanes * self.item_bits, self.file, "factors")
        m.d.comb += [rom.read.addr.eq(fold), rom.read.en.eq(advance)]
        payload, valid = stage(self.i.payload, "x", reset_less=True), self.i.valid
        for k in range(3):
            valid = stage(valid, f"valid{k}")
        results = [self._result(stage, payload.word_select(k, self.source.bits),
                                rom.read.data.word_select(k, self.item_bits), k) for k in range(self.lanes)]
        codes = Signal.like(self.o.payload, name="codes", reset_less=True)
        m.d.comb += self.o.payload.eq(codes)
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), codes.eq(Cat(results))]

        return m

    def _result(self, stage, x, word, number):
        """Code of one channel's result, three clocks after ``x``."""
        factor = decoded(word[:self.factors.bits], self.factors)
        addend = stage(word[self.factors.bits:], f"addend{number}", reset_less=True)
        product = stage((decoded(x, self.source) * factor)[:self.product.bits], f"product{number}", reset_less=True)
        product = product.as_signed() if self.product.signed else product
        total = stage((product + decoded(addend, self.addends)) >> self.shift, f"sum{number}", reset_less=True)
        low, high = self.values.lo, self.values.hi
        least, most = (bound >> self.shift for bound in (self.product.lo + self.addends.lo,
                                                         self.product.hi + self.addends.hi))
        # Both bounds at once, not one behind the other, which would be deep.
        result = Mux(total < low, low, total) if least < low else total
        result = Mux(total > high, high, result) if most > high else result
        return (result | C(0, self.values.bits))[:self.values.bits]
