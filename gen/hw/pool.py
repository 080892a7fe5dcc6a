"""Maximum or sum: of the taps that a window gives, or of blocks that do not overlap and need no window."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values
from .codes import decoded
from .counters import nest
from .memory import Ram
from .stream import Buffer, wrapping
from .units import add_unit

__all__ = ["BlockPool", "Reduce"]

REGISTERS = 2  # words of a line that are kept in flip-flops, of which there are two for every LUT


def _bitwise(layer):
    """Whether the maximum is an OR of codes."""
    values = layer.input.values
    return layer.kind == "max" and values.bits == 1 and not values.signed  # a signed bit is 0 or -1


def _merged(layer, best, value):
    if layer.kind == "sum":
        return best + value
    return best | value if _bitwise(layer) else Mux(value > best, value, best)


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

    def elaborate(self, platform):
        m = Module()

        step, first = Signal(), Signal(init=1)
        _, last = nest(m, step, tap=self.taps)["tap"]
        # With several taps the result before has had a clock to leave: nothing is to be known of the next unit at once.
        taken = self.o.ready & (self.taps == 1)
        m.d.comb += [self.i.ready.eq(~last | ~self.o.valid | taken), step.eq(self.i.valid & self.i.ready)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += first.eq(last)
            with m.If(last):
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
            if self.layer.kind == "sum" or _bitwise(self.layer):
                m.d.comb += merged.eq(_merged(self.layer, Mux(first, 0, best), value))
            else:
                m.d.comb += merged.eq(Mux(first | (value > best), value, best))
            with m.If(step):
                m.d.sync += best.eq(merged)
                with m.If(last):
                    m.d.sync += result.word_select(k, self.values.bits).eq(merged)

        return m


class BlockPool(wiring.Component):
    """Pooling of blocks that do not overlap: a payload in every clock, and in memory no more than a line of results.

    Of each block the columns in a payload are merged first, then what has come of the block before: a line holds what
    is known of the blocks that have begun. Rows and columns that are left over beside the blocks are dropped.

    Parameters
    ----------
    layer : gen.network.Pool
        A ``block`` one.
    simd : int
        Channels in a payload; divides the input's channels.
    given : int
        Neighbouring positions in a payload of the input. It divides the input's width; and it divides the kernel's
        width, or is a multiple of it, or is the input's width.

    Attributes
    ----------
    pixels : int
        Neighbouring positions in a payload of the output: ``max(1, given // kernel width)``. With the last row of
        its blocks every input payload (where it is narrower than the kernel, the last of a block) gives one.

    Members
    -------
    i : In(stream.Signature(given * simd * bits))
        Position 0 in the low bits. Row by row, for each group of positions all groups of channels.
    o : Out(stream.Signature(pixels * simd * output bits))
        In the same order.

    Raises
    ------
    ValueError
        The windows are not blocks, or something does not divide what it must divide.
    """

    def __init__(self, layer, *, simd, given=1):
        self.layer, self.simd, self.given = layer, simd, given
        self._check()
        self.source, self.values = layer.input.values, layer.output.values
        self.columns = min(given, layer.kernel[1])  # of a block in a payload
        self.parts = layer.kernel[1] // self.columns  # payloads of a block in a row
        self.pixels = given // self.columns if self.parts == 1 else 1
        image = layer.input
        self.unit_name = "_".join([f"block_{layer.kind}_pool_{image.height}x{image.width}x{image.channels}",
                                   "k{}x{}".format(*layer.kernel), f"f{simd}", f"g{given}", self.source.label])
        super().__init__({
            "i": In(stream.Signature(given * simd * self.source.bits)),
            "o": Out(stream.Signature(self.pixels * simd * self.values.bits)),
        })

    def _check(self):
        layer, image, width = self.layer, self.layer.input, self.layer.kernel[1]
        if not layer.block:
            raise ValueError(f"{layer.name}: windows are not blocks side by side")
        if image.channels % self.simd:
            raise ValueError(f"{layer.name}: simd {self.simd} does not divide {image.channels} channels")
        if image.width % self.given or (width % self.given and self.given % width and self.given != image.width):
            raise ValueError(f"{layer.name}: given {self.given} does not divide the width {image.width}, or does not "
                             f"go with the kernel's width {width}")

    @property
    def groups(self):
        """Payloads of channels at a position."""
        return self.layer.input.channels // self.simd

    @property
    def depth(self):
        """Payloads of the output in a row of it."""
        return self.layer.output.width // self.pixels * self.groups

    @property
    def run(self):
        """Words of the line that are gone through before one of them comes again."""
        return self.groups if self.parts > 1 else self.depth

    def _shape(self, count):
        """Of ``count`` values merged; bipolar ones are counted where they are added."""
        values = self.source
        if _bitwise(self.layer):
            return Shape(self.simd)
        if self.layer.kind == "max":
            return Shape(values.bits, values.signed)
        if values.bipolar:
            return Shape.cast(range(count + 1))
        total = Values(values.lo * count, values.hi * count)
        return Shape(total.bits, total.signed)

    def _inside(self, m):
        """Whether the payload at the input is of blocks, and not left over."""
        image, output, kernel = self.layer.input, self.layer.output, self.layer.kernel
        payloads = image.width // self.given * self.groups
        used = -(-output.width * kernel[1] // self.given) * self.groups
        height = output.height * kernel[0]
        if (payloads, image.height) == (used, height):
            return Const(1)
        step = self.i.valid & self.i.ready
        loops = nest(m, step, x=payloads, y=image.height)
        (x, row_last), (y, frame_last) = loops.values()
        in_row, in_height = Signal(init=1), Signal(init=1)
        with m.If(step):
            m.d.sync += in_row.eq(row_last | (in_row & (x != used - 1)))
            with m.If(row_last):
                m.d.sync += in_height.eq(frame_last | (in_height & (y != height - 1)))
        return in_row & in_height

    def _taps(self):
        """The columns of each block and channel in a payload; of all its channels, if they are merged bit by bit."""
        channels, bits = (1, self.simd) if _bitwise(self.layer) else (self.simd, self.source.bits)
        for k in range(self.pixels * channels):
            position, channel = divmod(k, channels)
            words = range(position * self.columns, (position + 1) * self.columns)
            codes = [self.i.payload.word_select(word * channels + channel, bits) for word in words]
            yield codes if self.source.bipolar else [decoded(code, self.source) for code in codes]

    def _columns(self, m, platform):
        """What those columns come to, and the ``valid`` and ``ready`` of it: a tree, with registers if not of ORs."""
        inside, lanes = self._inside(m), list(self._taps())
        valid, ready = self.i.valid & inside, Signal(name="ready")
        m.d.comb += self.i.ready.eq(ready | ~inside)
        count = 1
        while count < self.columns:
            count = min(2 * count, self.columns)
            lanes = [[_merged(self.layer, *taps[k:k + 2]) if taps[k + 1:] else taps[k] for k in range(0, len(taps), 2)]
                     for taps in lanes]
            if not _bitwise(self.layer):
                buffer, lanes = self._registered(m, lanes, Shape.cast(self._shape(count)), f"columns{count}", platform)
                m.d.comb += [buffer.i.valid.eq(valid), ready.eq(buffer.i.ready)]
                valid, ready = buffer.o.valid, buffer.o.ready
        return [value for (value,) in lanes], valid, ready

    def _registered(self, m, lanes, shape, name, platform):
        """A register for lists of values, all of ``shape``, and what comes out of it."""
        values, size = [value for taps in lanes for value in taps], len(lanes[0])
        buffer = add_unit(m, name, Buffer(len(values) * shape.width), platform)
        m.d.comb += [buffer.i.payload.word_select(k, shape.width).eq(value) for k, value in enumerate(values)]
        words = [buffer.o.payload.word_select(k, shape.width) for k in range(len(values))]
        values = [word.as_signed() if shape.signed else word for word in words]
        return buffer, [values[k:k + size] for k in range(0, len(values), size)]

    def _line(self, m, step, word, loops):
        """What was ``word`` when the same blocks and channels had the step before."""
        (group, group_last), (part, part_last), (column, _) = (loops[name] for name in ("group", "part", "column"))
        if self.layer.kernel[0] * self.parts == 1:
            return Const(0)
        if self.depth == self.run <= REGISTERS:
            line = [Signal.like(word, name=f"line{k}", reset_less=True) for k in range(self.depth)]
            with m.If(step):
                m.d.sync += Cat(*line).eq(Cat(word, *line[:-1]))
            return line[-1]
        m.submodules.line = line = Ram(len(word), (self.depth // self.run - 1 << len(group)) + self.run, "line")
        again = self.run == 1  # the word that is written is the next one, too, but after a block's last column
        m.d.comb += [
            line.write.addr.eq(Cat(group, column)), line.write.data.eq(word), line.write.en.eq(step),
            line.read.addr.eq(Cat(Mux(group_last, 0, group + 1)[:len(group)],
                                  Mux(part_last, wrapping(column, self.depth // self.run)[1], column))),
            line.read.en.eq(step & part_last if again else step),
        ]
        if not again:
            return line.read.data
        held = Signal.like(word, name="held", reset_less=True)
        with m.If(step):
            m.d.sync += held.eq(word)
        return Mux(part == 0, line.read.data, held)

    def elaborate(self, platform):
        m = Module()

        values, valid, ready = self._columns(m, platform)
        step, height, parts = Signal(), self.layer.kernel[0], self.parts
        first, last = Signal(), Signal(init=height * parts == 1)  # of what a block consists of
        loops = nest(m, step, group=self.run, part=parts, column=self.depth // self.run, row=height)
        (_, group_last), (part, _), (_, row_last), (row, _) = loops.values()
        m.d.comb += [
            first.eq((part == 0) & (row == 0)),
            ready.eq(~last | ~self.o.valid | self.o.ready),
            step.eq(valid & ready),
        ]
        with m.If(step & group_last):
            m.d.sync += last.eq(
                (part == (parts - 2) % parts) & (row == Mux(row_last, (height - 2) % height, height - 1)))
        kept = Shape.cast(self._shape(self.columns * (height * self.parts - 1) or 1))
        word = Signal(len(values) * kept.width)
        before = Signal.like(word, name="before")
        m.d.comb += before.eq(self._line(m, step, word, loops))
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        width = len(result) // len(values)
        for k, value in enumerate(values):
            merged = Signal(self._shape(self.columns * height * self.parts), name=f"merged{k}")
            m.d.comb += [
                merged.eq(self._joined(before.word_select(k, kept.width), kept, first, value)),
                word.word_select(k, kept.width).eq(merged),
            ]
            with m.If(step & last):
                m.d.sync += result.word_select(k, width).eq(self._total(merged))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step & last):
            m.d.sync += self.o.valid.eq(1)
        m.d.comb += self.o.payload.eq(result)

        return m

    def _joined(self, code, kept, first, value):
        """``value`` and, but for the ``first`` of a block, what the block has had before."""
        before = code.as_signed() if kept.signed else code
        if self.layer.kind == "sum" or _bitwise(self.layer):
            return _merged(self.layer, Mux(first, 0, before), value)
        return Mux(first | (value > before), value, before)

    def _total(self, merged):
        """The number that is meant: of bipolar ones that were counted, so many are +1, and the others -1."""
        area = self.layer.kernel[0] * self.layer.kernel[1]
        return 2 * merged - area if self.layer.kind == "sum" and self.source.bipolar else merged
