# amaranth: UnusedElaboratable=no
"""A ROM as a unit with streams."""

import random

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gen.hw.memory import Rom


def random_words(width, depth):
    """Random contents."""
    rng = random.Random(width * depth)
    return [rng.getrandbits(width) for _ in range(depth)]


class Reader(wiring.Component):
    """Words of a ROM at the addresses that arrive; without back-pressure it takes one a clock."""

    def __init__(self, name, words, width, form=None, registered=False):
        self.unit_name, self.words, self.width, self.form, self.registered = name, words, width, form, registered
        super().__init__({"i": In(stream.Signature(range(len(words)))), "o": Out(stream.Signature(width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = rom = Rom(
            self.words, self.width, f"{self.unit_name}_words", "words", form=self.form, registered=self.registered)
        advance, valid = Signal(), self.i.valid
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        for k in range(1 + self.registered):
            register = Signal(name=f"valid{k}")
            with m.If(advance):
                m.d.sync += register.eq(valid)
            valid = register
        m.d.comb += [rom.read.addr.eq(self.i.payload), rom.read.en.eq(advance),
                     self.o.valid.eq(valid), self.o.payload.eq(rom.read.data)]
        return m
