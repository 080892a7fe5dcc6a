"""Sliding window over a stream of pixels, with exact padding, any stride, and several positions at once."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers import least_rows, schedule
from .counters import nest, table, wrap_add
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
        """Read the window in four steps: count, add up addresses, read, arrange."""
        layer, image, depth = self.layer, self.layer.input, banks[0].depth
        (rows, columns), (step_y, step_x) = (layer.output.height, layer.output.width), layer.stride
        top_pad, left_pad = layer.pads[:2]
        groups = image.channels // self.simd
        needs, releases = schedule(layer)

        advance = Signal()
        issue = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        loops = nest(m, issue, tap_x=layer.kernel[1], tap_y=layer.kernel[0], group=groups, again=self.repeat,
                     position=columns // self.pixels, row=rows)
        tap_x, tap_x_last = loops["tap_x"]
        tap_y, taps_last = loops["tap_y"]
        group, row, row_last = loops["group"][0], loops["row"][0], loops["position"][1]
        frame_last = loops["row"][1]
        release = table(m, row, releases, "leaving")
        m.d.comb += issue.eq(advance & (full >= table(m, row, needs, "need")))
        m.d.comb += issued.eq(Mux(issue & row_last, release, 0))

        # Where the window stands: image row and column of its first tap, and their addresses.
        top = Signal(range(-top_pad, max(1, rows * step_y)), init=-top_pad)
        left = Signal(range(-left_pad, max(1, columns * step_x)), init=-left_pad)
        above = Signal(range(depth), init=-top_pad % self.rows * self.row_words)
        line = Signal.like(above)
        word = Signal(range(columns // self.pixels * groups + 1))
        with m.If(issue):
            with m.If(row_last):
                following = Signal.like(above)
                m.d.comb += following.eq(Mux(
                    frame_last,
                    wrap_add(above, (image.height - (rows - 1) * step_y) * self.row_words, depth),
                    wrap_add(above, step_y * self.row_words, depth)))
                m.d.sync += [above.eq(following), line.eq(following), word.eq(0), left.eq(-left_pad),
                             top.eq(Mux(frame_last, -top_pad, top + step_y))]
            with m.Elif(taps_last):
                m.d.sync += line.eq(above)
                with m.If(loops["again"][1]):
                    m.d.sync += [word.eq(word + groups), left.eq(left + self.banks)]
            with m.Elif(tap_x_last):
                m.d.sync += line.eq(wrap_add(line, self.row_words, depth))

        # Count -> add -> address -> read -> arrange, all held while the output waits.
        def stage(value, name):
            register = Signal.like(value, name=name, init=0, reset_less=not name.startswith(("valid", "freeing")))
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        valid, freeing, tap = issue, issued, tap_x
        base = stage(line + word + group, "base")
        image_row, image_column = top + tap_y, left + tap_x
        last_row = (rows - 1) * step_y - top_pad + layer.kernel[0] - 1
        outside_row = stage(_outside(image_row, -top_pad, last_row, image.height), "outside_row")
        column = stage(image_column, "column")
        valid, freeing, tap = stage(valid, "valid1"), stage(freeing, "freeing1"), stage(tap, "tap1")
        for k, bank in enumerate(banks):
            offset = table(m, tap, [self._word_of(k, t) * groups for t in range(layer.kernel[1])], f"offset{k}")
            m.d.comb += [bank.read.addr.eq(stage((base + offset)[:len(above)], f"address{k}")),
                         bank.read.en.eq(advance)]
        last_column = (columns - self.pixels) * step_x - left_pad + layer.kernel[1] - 1
        padded = Cat(outside_row | _outside(column + x, x - left_pad, x + last_column, image.width)
                     for x in range(0, self.banks, step_x))
        for k in (2, 3):
            valid, freeing, tap = stage(valid, f"valid{k}"), stage(freeing, f"freeing{k}"), stage(tap, f"tap{k}")
            padded = stage(padded, f"padded{k}")
        m.d.comb += freed.eq(Mux(advance, freeing, 0))
        taps = Signal.like(self.o.payload, name="taps", reset_less=True)
        m.d.comb += self.o.payload.eq(taps)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
            for p in range(self.pixels):
                with m.Switch(tap):
                    for t in range(layer.kernel[1]):
                        with m.Case(t):
                            source = banks[(p * step_x + t - left_pad) % self.banks].read.data
                            outside = Mux(padded[p], self._pad_word(), source)
                            m.d.sync += taps.word_select(p, self.word).eq(
                                outside if any(layer.pads) and not self.flagged else source)
            if self.flagged:
                m.d.sync += taps[self.pixels * self.word:].eq(padded)

    def _pad_word(self):
        return Const(sum((self.pad_code or 0) << k * self.bits for k in range(self.simd)), self.word)

    def _word_of(self, bank, tap):
        """Which word, from the group's own, ``bank`` must give for tap column ``tap``."""
        columns = (p * self.layer.stride[1] + tap - self.layer.pads[1] for p in range(self.pixels))
        return next((c // self.banks for c in columns if c % self.banks == bank), 0)
