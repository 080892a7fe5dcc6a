# amaranth: UnusedElaboratable=no
"""Commands of any length as bursts that AXI4 allows."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ADDRESS_BITS", "OFFSET_BITS", "Burst", "Bursts", "Command"]

ADDRESS_BITS = 40
OFFSET_BITS = 4  # of a byte address: those within a word


class Command(data.StructLayout):
    """``words`` words, at least one, from byte ``address`` on, whose low four bits are ignored."""

    def __init__(self, address_bits=ADDRESS_BITS):
        super().__init__({"address": address_bits, "words": 32})


class Burst(data.StructLayout):
    """A burst at byte ``address`` of ``length + 1`` words, and whether it is the ``last`` of its command."""

    def __init__(self, address_bits=ADDRESS_BITS):
        super().__init__({"address": address_bits, "length": 8, "last": 1})


class Bursts(wiring.Component):
    """Cut commands into bursts that stay within aligned blocks of ``burst`` words, and so within 4 KB.

    A burst a clock, the first two clocks after its command.

    Parameters
    ----------
    burst : int
        Most words of a burst: a power of two, at most 256, as many as AXI4 allows and 4 KB hold.
    address_bits : int
        Bits of a byte address.

    Members
    -------
    base : In(address_bits)
        Is added to the address of every command as it is taken.
    command : In(stream.Signature(Command(address_bits)))
    o : Out(stream.Signature(Burst(address_bits)))

    Raises
    ------
    ValueError
        ``burst`` is no power of two, or is beyond 256.
    """

    def __init__(self, burst, address_bits=ADDRESS_BITS):
        if burst not in (1 << k for k in range(9)):
            raise ValueError(f"bursts of {burst} words: it takes a power of two up to 256")
        self.burst, self.address_bits = burst, address_bits
        self.unit_name = f"bursts_{burst}_{address_bits}"
        super().__init__({
            "base": In(address_bits),
            "command": In(stream.Signature(Command(address_bits))),
            "o": Out(stream.Signature(Burst(address_bits))),
        })

    def elaborate(self, platform):
        m = Module()

        active = Signal()
        word = Signal(self.address_bits - OFFSET_BITS)
        more = Signal(32)  # words of the command beyond the one at `word`
        place = word[:self.burst.bit_length() - 1]
        room = Signal(range(self.burst))  # words of the block beyond it
        step, last = (Signal(name=name) for name in ("step", "last"))
        m.d.comb += [
            room.eq(~place),
            last.eq(more <= room),
            step.eq(active & (~self.o.valid | self.o.ready)),
            self.command.ready.eq(~active | (step & last)),
        ]

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.p.address.eq(word << OFFSET_BITS),
                self.o.p.length.eq(Mux(last, more, room)),
                self.o.p.last.eq(last),
                word.eq((word | room) + 1),
                more.eq(more - room - 1),
            ]
        with m.If(self.command.ready):
            m.d.sync += [
                active.eq(self.command.valid),
                word.eq((self.base + self.command.p.address) >> OFFSET_BITS),
                more.eq(self.command.p.words - 1),
            ]

        return m
