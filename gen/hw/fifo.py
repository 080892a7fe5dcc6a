"""A queue between two units: what one branch has ready while the others work."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import nest, occupancy
from .memory import Ram

__all__ = ["Fifo"]


class Fifo(wiring.Component):
    """Holds ``depth`` payloads of ``width`` bits, the one at its output included; two clocks from end to end."""

    def __init__(self, width, depth):
        self.width, self.depth = width, depth
        self.unit_name = f"fifo_{width}x{depth}"
        super().__init__({
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(width)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.words = words = Ram(self.width, self.depth, "words")
        put, fetch, take, advance = (Signal(name=name) for name in ("put", "fetch", "take", "advance"))
        _, full, _ = occupancy(m, put, take, self.depth, "held")
        some, _, _ = occupancy(m, put, fetch, self.depth, "stored")  # and not yet at the output
        tail, head = (nest(m, step, **{name: words.depth})[name][0] for step, name in ((put, "tail"), (fetch, "head")))
        m.d.comb += [
            self.i.ready.eq(~full),
            put.eq(self.i.valid & self.i.ready),
            take.eq(self.o.valid & self.o.ready),
            advance.eq(~self.o.valid | self.o.ready),
            fetch.eq(advance & some),
            words.write.addr.eq(tail), words.write.data.eq(self.i.payload), words.write.en.eq(put),
            words.read.addr.eq(head), words.read.en.eq(fetch), self.o.payload.eq(words.read.data),
        ]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(some)

        return m
