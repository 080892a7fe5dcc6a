# amaranth: UnusedElaboratable=no
"""What the cells of a chain work on: pixels of one row of a kernel, from the chain's own buffer."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import PATTERN, PATTERN_ROOM
from ...svpe.shape import WORD, WORD_PIXELS
from ..counters import select
from ..memory import Queue, Ram
from .later import later
from .token import Token

__all__ = ["LATENCY", "RowChain", "Write"]

LATENCY = 5  # clocks from a slot's token to its pixel for cell 0


class Write(wiring.Signature):
    """The write port of one memory, or of ``memories`` that get the same word, each with its own bit of ``en``."""

    def __init__(self, depth, memories=1):
        super().__init__({"en": Out(memories), "address": Out(range(depth)), "data": Out(WORD)})


class RowChain(wiring.Component):
    """One chain's pixels: reads a raster from its buffer, a pixel a clock, and masks it for each of its cells.

    Item (row, i) of the raster is the pixel at base + offset + row * pitch + i * stride; items follow each other row
    after row, ``period`` to a row, and pass after pass. Cell t gets, for the slot at (row, column), item
    (row, column + lead - (taps - 1 - t)), which may be one of the rows before or behind; or 0, unless
    low <= column <= high, as is said for that cell, and row_low <= row <= row_high. In between and outside of passes
    the pixels may be anything.

    The chain's partial sums take a clock from cell to cell, so all cells get the same item at the same time, and the
    raster runs ``taps - 1 - lead`` clocks behind the slots. Those must pause for ``taps - 1`` clocks before a pass with
    another pattern, and a pass has at least ``taps`` slots.

    With a token in clock c, the pixel of its slot for cell t is there in clock c + LATENCY + t.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    skew : int
        Clocks that the next chain works behind this one.

    Members
    -------
    token : In(Token())
    following : Out(Token())
        The token ``skew`` clocks later.
    x : Out(taps * pixel_bits)
        Pixel of each cell, signed.
    swap : Out(taps)
        The next clock's pixel is the first of a pass, for each cell.
    write : In(Write(chain_words))
        To the buffer, eight pixels at a time.
    config : In(Write(PATTERN_ROOM))
        To the patterns: see `gen.svpe.records.PATTERN`.

    Raises
    ------
    ValueError
        ``skew`` is below 1.
    """

    def __init__(self, shape, skew=1):
        if skew < 1:
            raise ValueError(f"skew is {skew}: the next chain works at least a clock later")
        self.taps, self.pixel_bits, self.words, self.skew = shape.taps, shape.pixel_bits, shape.chain_words, skew
        self.unit_name = f"row_chain_{self.taps}x{self.pixel_bits}_{self.words}_{skew}"
        super().__init__({
            "token": In(Token()),
            "following": Out(Token()),
            "x": Out(self.taps * self.pixel_bits),
            "swap": Out(self.taps),
            "write": In(Write(self.words)),
            "config": In(Write(PATTERN_ROOM)),
        })

    def elaborate(self, platform):
        m = Module()

        tokens = later(m, self.token, self.skew, "token")
        token = tokens[1]  # that of `pattern` and `origin`, too
        pattern, origin = self._pattern(m)
        starts = later(m, token.start, LATENCY - 3 + self.taps, "start")
        ends = later(m, token.row_last, self.taps - 1, "end")
        m.d.comb += [self.following.eq(tokens[-1]), self.swap.eq(Cat(starts[LATENCY - 2:]))]

        start, end = (select(delayed[self.taps - 1::-1], pattern.lead) for delayed in (starts, ends))
        pixel = self._pixel(m, self._address(m, pattern, origin, start, end), pattern.signed)
        for t, keep in enumerate(self._masks(m, pattern, token)):
            x = Signal(self.pixel_bits, name=f"x{t}", reset_less=True)
            m.d.sync += x.eq(Mux(keep, pixel, 0))
            m.d.comb += self.x.word_select(t, self.pixel_bits).eq(x)

        return m

    def _pattern(self, m):
        """Pattern of the pass at hand, and the address of its first pixel: those of the token a clock before."""
        fields = data.StructLayout(dict(PATTERN))
        m.submodules.patterns = patterns = Queue(fields.size, PATTERN_ROOM, "patterns")
        pattern = Signal(fields, reset_less=True)
        origin = Signal(range(self.words * WORD_PIXELS), reset_less=True)
        chosen = data.View(fields, patterns.read.data)
        m.d.comb += [
            patterns.write.en.eq(self.config.en), patterns.write.addr.eq(self.config.address),
            patterns.write.data.eq(self.config.data), patterns.read.addr.eq(self.token.pattern),
        ]
        with m.If(self.token.start):
            m.d.sync += [pattern.eq(chosen), origin.eq(chosen.base + self.token.offset)]
        return pattern, origin

    def _address(self, m, pattern, origin, start, end):
        """Pixel address of an item, a clock after it was said whether it is the first of a pass, the last of a row."""
        row, item = (Signal.like(origin, name=name, reset_less=True) for name in ("row", "item"))
        ended, next_row = Signal(reset_less=True), Signal.like(origin)
        m.d.comb += next_row.eq(row + pattern.pitch)
        m.d.sync += [ended.eq(end), item.eq(item + pattern.stride)]
        with m.If(start):
            m.d.sync += [row.eq(origin), item.eq(origin)]
        with m.Elif(ended):
            m.d.sync += [row.eq(next_row), item.eq(next_row)]
        return item

    def _pixel(self, m, address, signed):
        """The pixel there, two clocks later; ``signed`` comes a clock before the address."""
        m.submodules.pixels = pixels = Ram(WORD, self.words, "pixels")
        place = Signal(range(WORD_PIXELS), reset_less=True)
        pixel = Signal(self.pixel_bits, reset_less=True)
        *_, signed = later(m, signed, 2, "signed", reset_less=True)
        word = select([pixels.read.data.word_select(k, 16) for k in range(WORD_PIXELS)], place)
        m.d.comb += [
            pixels.write.en.eq(self.write.en), pixels.write.addr.eq(self.write.address),
            pixels.write.data.eq(self.write.data),
            pixels.read.addr.eq(address[len(place):]), pixels.read.en.eq(1),
        ]
        m.d.sync += [place.eq(address), pixel.eq(Cat(word, word[-1] & signed))]
        return pixel

    def _masks(self, m, pattern, token):
        """Whether the token's slot counts, for each cell, LATENCY + t - 2 clocks later."""
        row = (pattern.row_low <= token.row) & (token.row <= pattern.row_high)
        for t in range(self.taps):
            column = (pattern[f"low{t}"] <= token.column) & (token.column <= pattern[f"high{t}"])
            yield later(m, row & column, LATENCY + t - 2, f"keep{t}_", reset_less=True)[-1]
