"""Sliding window over a stream of pixels, with exact padding, any stride, and several positions at once."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers import least_rows, schedule
from .counters import nest, select, table, wrap_add
from .memory import Ram

__all__ = ["Window"]


def _outside(value, least, greatest, size):
    """Whether ``value``, which lies between ``least`` and ``greatest``, is no index into ``size`` things."""
    below = value < 0 if least < 0 else Const(0, 1)
    return below | (value >= size) if greatest >= size else below


class Window(wiring.Component):
    """What a layer sees of its input, position by position, from a few rows held in memory.

    For each output row, for each group of ``pixels`` neighbouring positions, ``repeat`` times, it puts out for each
    group of ``simd`` channels the kernel's taps row by row. Row ``y`` of the image is kept in a ring of rows; column
    ``x`` in bank ``x % banks``, so that neighbouring positions are read at once.

    Parameters
    ----------
    layer : gen.network.Conv or gen.network.Pool
        Input tensor, kernel, stride and pads.
    simd : int
        Channels in a payload; divides the input's channels.
    pixels : int
        Output positions in a payload; divides the output width.
    repeat : int
        Times that each group of positions is put out.
    pad_code : int or None
        Code of a value outside the image; ``None``: flag the position instead.
    rows : int, optional
        Image rows held; by default the fewest with which the window works.

    Members
    -------
    i : In(stream.Signature(simd * bits))
        Pixels in stream order.
    o : Out(stream.Signature(pixels * simd * bits + flags))
        The taps, position 0 in the low bits; then, where padding is flagged, a bit for each position.
    """

    def __init__(self, layer, *, simd, pixels=1, repeat=1, pad_code=None, rows=None):
        if layer.input.channels % simd:
            raise ValueError(f"{layer.name}: simd {simd} does not divide {layer.input.channels} channels")
        if layer.output.width % pixels:
            raise ValueError(f"{layer.name}: pixels {pixels} does not divide the output width {layer.output.width}")
        self.layer, self.simd, self.pixels, self.repeat, self.pad_code = layer, simd, pixels, repeat, pad_code
        self.rows = rows or least_rows(layer)
        self.bits = layer.input.values.bits
        self.word = simd * self.bits
        self.flagged = pad_code is None and any(layer.pads)
        image, kernel = layer.input, layer.kernel
        self.unit_name = "_".join([
            f"window_{image.height}x{image.width}x{image.channels}b{self.bits}", "k{}x{}".format(*kernel),
            "s{}x{}".format(*layer.stride), "p{}x{}x{}x{}".format(*layer.pads), f"f{simd}x{pixels}x{repeat}",
            f"r{self.rows}", "flag" if pad_code is None else f"pad{pad_code}"])
        super().__init__({
            "i": In(stream.Signature(self.word)),
            "o": Out(stream.Signature(pixels * self.word + pixels * self.flagged)),
        })

    @property
    def banks(self):
        """Columns that are read or skipped by one group of positions."""
        return self.pixels * self.layer.stride[1]

    @property
    def row_words(self):
        """Words of one image row in each bank."""
        return -(-self.layer.input.width // self.banks) * (self.layer.input.channels // self.simd)

    def elaborate(self, platform):
        m = Module()

        held = Signal(range(self.rows + 1))  # rows in memory, for the writer
        full = Signal(range(self.rows + 1))  # whole rows not yet used up, for the reader
        written = Signal()
        issued = Signal(range(self.rows + 1))
        freed = Signal(range(self.rows + 1))
        m.d.sync += [
            held.eq(held + written - freed),
            full.eq(full + written - issued),
        ]
        banks = [Ram(self.word, self.rows * self.row_words, f"bank{k}") for k in range(self.banks)]
        for k, bank in enumerate(banks):
            m.submodules[f"bank{k}"] = bank
        m.d.comb += self.i.ready.eq(held != self.rows)
        m.d.comb += written.eq(self._write(m, banks))
        self._read(m, banks, full, issued, freed)

        return m

    def _write(self, m, banks):
        """Store the input; returns whether it ends a row."""
        image, groups = self.layer.input, self.layer.input.channels // self.simd
        step = self.i.valid & self.i.ready
        loops = nest(m, step, write_group=groups, write_column=image.width)
        group, group_last = loops["write_group"]
        row_last = loops["write_column"][1]
        bank = nest(m, step & group_last, write_bank=self.banks)["write_bank"][0]
        depth = banks[0].depth
        row = Signal(range(depth), name="write_row")
        address = Signal(range(depth), name="write_address")
        for k, memory in enumerate(banks):
            m.d.comb += [
                memory.write.addr.eq(address + group),
                memory.write.data.eq(self.i.payload),
                memory.write.en.eq(step & (bank == k)),
            ]
        with m.If(step & row_last):
            m.d.sync += [
                row.eq(wrap_add(row, self.row_words, depth)),
                address.eq(wrap_add(row, self.row_words, depth)),
                bank.eq(0),
            ]
        with m.Elif(step & group_last & (bank == self.banks - 1)):
            m.d.sync += address.eq(address + groups)
        return step & row_last

    def _read(self, m, banks, full, issued, freed):
        """Go through the window's loops as rows come, and fetch what they point at."""
        layer = self.layer
        needs, releases = schedule(layer)
        advance = Signal()
        issue = Signal()
        loops = nest(m, issue, tap_x=layer.kernel[1], tap_y=layer.kernel[0],
                     group=layer.input.channels // self.simd, again=self.repeat,
                     position=layer.output.width // self.pixels, row=layer.output.height)
        row, row_last = loops["row"][0], loops["position"][1]
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            issue.eq(advance & (full >= table(m, row, needs, "need"))),
            issued.eq(Mux(issue & row_last, table(m, row, releases, "leaving"), 0)),
        ]
        place = self._place(m, issue, loops, banks[0].depth)
        self._fetch(m, banks, advance, (issue, issued, loops["tap_x"][0]), place, freed)

    def _place(self, m, issue, loops, depth):
        """Image row and column of the tap, and the address of its word in a bank that it starts from."""
        layer, image, (step_y, step_x) = self.layer, self.layer.input, self.layer.stride
        rows, groups = layer.output.height, image.channels // self.simd
        top_pad, left_pad = layer.pads[:2]
        top = Signal(range(-top_pad, max(1, rows * step_y)), init=-top_pad)  # of the window's first tap
        left = Signal(range(-left_pad, max(1, layer.output.width * step_x)), init=-left_pad)
        above = Signal(range(depth), init=-top_pad % self.rows * self.row_words)  # address of that row
        line = Signal.like(above)  # address of this tap's row
        word = Signal(range(layer.output.width // self.pixels * groups + 1))
        following = Signal.like(above)
        m.d.comb += following.eq(Mux(
            loops["row"][1],
            wrap_add(above, (image.height - (rows - 1) * step_y) * self.row_words, depth),
            wrap_add(above, step_y * self.row_words, depth)))
        with m.If(issue):
            with m.If(loops["position"][1]):
                m.d.sync += [above.eq(following), line.eq(following), word.eq(0), left.eq(-left_pad),
                             top.eq(Mux(loops["row"][1], -top_pad, top + step_y))]
            with m.Elif(loops["tap_y"][1]):
                m.d.sync += line.eq(above)
                with m.If(loops["again"][1]):
                    m.d.sync += [word.eq(word + groups), left.eq(left + self.banks)]
            with m.Elif(loops["tap_x"][1]):
                m.d.sync += line.eq(wrap_add(line, self.row_words, depth))
        return top + loops["tap_y"][0], left + loops["tap_x"][0], line + word + loops["group"][0]

    def _fetch(self, m, banks, advance, control, place, freed):
        """Add up addresses, read, arrange: four steps, all of which wait while the output does."""
        layer, image, (step_y, step_x) = self.layer, self.layer.input, self.layer.stride
        (height, width), (top_pad, left_pad) = layer.kernel, layer.pads[:2]
        groups = image.channels // self.simd

        def stage(value, name):
            register = Signal.like(value, name=name, init=0, reset_less=not name.startswith(("valid", "freeing")))
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        def carried(number):
            return tuple(stage(value, f"{name}{number}")
                         for value, name in zip(control, ("valid", "freeing", "tap"), strict=True))

        row, column, base = place
        last_row = (layer.output.height - 1) * step_y - top_pad + height - 1
        last_column = (layer.output.width - self.pixels) * step_x - left_pad + width - 1
        outside_row = stage(_outside(row, -top_pad, last_row, image.height), "outside_row")
        column, base, control = stage(column, "column"), stage(base, "base"), carried(1)

        for k, bank in enumerate(banks):
            offset = table(m, control[2], [self._word_of(k, tap) * groups for tap in range(width)], f"offset{k}")
            address = (base + offset)[:len(bank.read.addr)]
            m.d.comb += [bank.read.addr.eq(stage(address, f"address{k}")), bank.read.en.eq(advance)]
        padded = stage(Cat(outside_row | _outside(column + x, x - left_pad, x + last_column, image.width)
                           for x in range(0, self.banks, step_x)), "padded2")
        control = carried(2)
        padded, control = stage(padded, "padded3"), carried(3)

        valid, freeing, tap = control
        result = Signal.like(self.o.payload, name="taps", reset_less=True)
        m.d.comb += [freed.eq(Mux(advance, freeing, 0)), self.o.payload.eq(result)]
        sources = [select([banks[(x + t - left_pad) % self.banks].read.data for t in range(width)], tap)
                   for x in range(0, self.banks, step_x)]
        if any(layer.pads) and not self.flagged:
            sources = [Mux(pad, self._pad_word(), source) for pad, source in zip(padded, sources, strict=True)]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), result.eq(Cat(*sources, padded if self.flagged else Const(0, 0)))]

    def _pad_word(self):
        return Const(sum((self.pad_code or 0) << k * self.bits for k in range(self.simd)), self.word)

    def _word_of(self, bank, tap):
        """Which word, from the group's own, ``bank`` must give for tap column ``tap``."""
        columns = (p * self.layer.stride[1] + tap - self.layer.pads[1] for p in range(self.pixels))
        return next((c // self.banks for c in columns if c % self.banks == bank), 0)
