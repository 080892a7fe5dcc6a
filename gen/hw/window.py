"""Sliding window over a stream of pixels: exact padding, any stride, several positions or whole rows at once."""

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
    """What a layer sees of its input, group of positions by group of positions, from a few rows held in memory.

    For each output row, for each group of ``pixels`` neighbouring positions, ``repeat`` times, it puts out for each
    group of ``simd`` channels the kernel's taps row by row. Row ``y`` of the image is kept in a ring of rows; column
    ``x`` in bank ``x % banks``, so that neighbouring positions are read at once.

    With ``taps`` of the kernel's width, all columns of a kernel row are put out at once: for each output row,
    ``repeat`` times, for each group of ``simd`` channels, for each row of the kernel the row of the image that it lies
    on, all of it. Which column is which position's tap, and which is outside the image, never changes.

    Parameters
    ----------
    layer : gen.network.Conv or gen.network.Pool
        Input tensor, kernel, stride and pads.
    simd : int
        Channels in a payload; divides the input's channels.
    pixels : int
        Output positions in a payload; divides the output width, or is it if there are several ``taps``.
    taps : int
        Kernel columns in a payload: 1, or the kernel's width.
    given : int
        Positions in a payload of the input; divides the input's width and ``banks``.
    repeat : int
        Times that each group of positions is put out.
    pad_code : int or None
        Code of a value outside the image; ``None``: flag the position, or the row, instead.
    rows : int, optional
        Image rows held; by default the fewest with which the window works.

    Attributes
    ----------
    flags : int
        How many flags a payload has.

    Members
    -------
    i : In(stream.Signature(given * simd * bits))
        Pixels in stream order.
    o : Out(stream.Signature(pixels * simd * bits + flags))
        The taps, position 0 in the low bits; then, where padding is flagged, a bit for each position. With several
        ``taps`` the image row, ``input.width * simd * bits``, column 0 in the low bits; then, where the window can lie
        above or below the image and that is flagged, a bit.

    Raises
    ------
    ValueError
        Something does not divide what it must divide.
    """

    def __init__(self, layer, *, simd, pixels=1, taps=1, given=1, repeat=1, pad_code=None, rows=None):
        self.layer, self.simd, self.pixels, self.taps, self.given = layer, simd, pixels, taps, given
        self.repeat, self.pad_code, self.rows = repeat, pad_code, rows or least_rows(layer)
        self._check()
        self.bits = layer.input.values.bits
        self.word = simd * self.bits
        padded = any(layer.pads[::2] if taps > 1 else layer.pads)
        self.flagged = pad_code is None and padded
        self._replaced = pad_code is not None and padded
        self.flags = self.flagged * (1 if taps > 1 else pixels)
        image, kernel = layer.input, layer.kernel
        self.unit_name = "_".join([
            f"window_{image.height}x{image.width}x{image.channels}b{self.bits}", "k{}x{}".format(*kernel),
            "s{}x{}".format(*layer.stride), "p{}x{}x{}x{}".format(*layer.pads),
            f"f{simd}x{taps}x{pixels}x{repeat}", f"g{given}", f"r{self.rows}",
            "flag" if pad_code is None else f"pad{pad_code}"])
        columns = image.width if taps > 1 else pixels
        super().__init__({
            "i": In(stream.Signature(given * self.word)),
            "o": Out(stream.Signature(columns * self.word + self.flags)),
        })

    def _check(self):
        layer, image, width = self.layer, self.layer.input, self.layer.output.width
        if image.channels % self.simd:
            raise ValueError(f"{layer.name}: simd {self.simd} does not divide {image.channels} channels")
        if width % self.pixels:
            raise ValueError(f"{layer.name}: pixels {self.pixels} does not divide the output width {width}")
        if self.taps not in (1, layer.kernel[1]):
            raise ValueError(f"{layer.name}: taps {self.taps} is neither 1 nor the kernel's width {layer.kernel[1]}")
        if self.taps > 1 and self.pixels != width:
            raise ValueError(f"{layer.name}: {self.taps} taps at once, but pixels {self.pixels} is not "
                             f"the output width {width}")
        if image.width % self.given or self.banks % self.given:
            raise ValueError(f"{layer.name}: given {self.given} does not divide the width {image.width} "
                             f"and {self.banks} banks")

    @property
    def groups(self):
        """Payloads of channels at a position."""
        return self.layer.input.channels // self.simd

    @property
    def banks(self):
        """Columns that are read or skipped by one group of positions."""
        return self.layer.input.width if self.taps > 1 else self.pixels * self.layer.stride[1]

    @property
    def joined(self):
        """Neighbouring banks in one memory: those that are written at once, if they are read at one address."""
        shifts = [[self._word_of(bank, tap) for tap in range(self.layer.kernel[1])] for bank in range(self.banks)]
        together = self.taps > 1 or all(shifts[k] == shifts[k - k % self.given] for k in range(self.banks))
        return self.given if together else 1

    @property
    def row_words(self):
        """Words of one image row in each bank."""
        return -(-self.layer.input.width // self.banks) * self.groups

    @property
    def depth(self):
        """Words in a bank; where it holds one column, those of a row begin at a power of two."""
        if self.taps > 1:
            return (self.rows - 1 << (self.groups - 1).bit_length()) + self.groups
        return self.rows * self.row_words

    def elaborate(self, platform):
        m = Module()

        joined = self.joined
        memories = [Ram(joined * self.word, self.depth, f"bank{k}") for k in range(self.banks // joined)]
        for memory in memories:
            m.submodules[memory.name] = memory
        full = Signal(range(self.rows + 1))  # whole rows not yet used up, for the reader
        written = Signal()
        issued = Signal(range(self.rows + 1))
        m.d.sync += full.eq(full + written - issued)
        if self.taps > 1:
            m.d.comb += self.i.ready.eq(full != self.rows)
            m.d.comb += written.eq(self._write_rows(m, memories))
            self._read_rows(m, memories, full, issued)
        else:
            held = Signal(range(self.rows + 1))  # rows in memory, for the writer
            freed = Signal(range(self.rows + 1))
            m.d.sync += held.eq(held + written - freed)
            m.d.comb += self.i.ready.eq(held != self.rows)
            m.d.comb += written.eq(self._write(m, memories))
            self._read(m, memories, full, issued, freed)

        return m

    def _write_rows(self, m, memories):
        """Store the input where each bank holds one column; returns whether it ends a row."""
        step = self.i.valid & self.i.ready
        loops = nest(m, step, write_group=self.groups, write_column=len(memories), write_slot=self.rows)
        for k, memory in enumerate(memories):
            m.d.comb += [
                memory.write.addr.eq(Cat(loops["write_group"][0], loops["write_slot"][0])),
                memory.write.data.eq(self.i.payload),
                memory.write.en.eq(step & (loops["write_column"][0] == k)),
            ]
        return step & loops["write_column"][1]

    def _read_rows(self, m, memories, full, issued):
        """Read whole rows; what is read at a clock's end can be overwritten from the next clock on."""
        layer, height = self.layer, self.layer.kernel[0]
        needs, releases = schedule(layer)
        advance = Signal()
        issue = Signal()
        loops = nest(m, issue, tap=height, group=self.groups, again=self.repeat, row=layer.output.height)
        (tap, tap_last), (row, frame_last), row_last = loops["tap"], loops["row"], loops["again"][1]
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            issue.eq(advance & (full >= table(m, row, needs, "need"))),
            issued.eq(Mux(issue & row_last, table(m, row, releases, "leaving"), 0)),
        ]
        slot = Signal(range(self.rows), init=-layer.pads[0] % self.rows)  # of this tap's row
        ahead = layer.input.height - (layer.output.height - 1) * layer.stride[0]  # from there to the next frame's first
        with m.If(issue):
            m.d.sync += slot.eq(wrap_add(slot, 1, self.rows))
            for ended, step in ((tap_last, 0), (row_last, layer.stride[0]), (frame_last, ahead)):
                with m.If(ended):
                    m.d.sync += slot.eq(wrap_add(slot, step - (height - 1), self.rows))
        for memory in memories:
            m.d.comb += [memory.read.addr.eq(Cat(loops["group"][0], slot)), memory.read.en.eq(advance)]
        self._put_rows(m, advance, issue, self._beyond(m, row, tap), Cat(memory.read.data for memory in memories))

    def _beyond(self, m, row, tap):
        """Whether kernel row ``tap`` of output row ``row`` lies above or below the image."""
        layer = self.layer
        tops = [y * layer.stride[0] - layer.pads[0] for y in range(layer.output.height)]
        lines = [top + min(t, layer.kernel[0] - 1) for top in tops for t in range(1 << len(tap))]
        return table(m, Cat(tap, row), [int(not 0 <= line < layer.input.height) for line in lines], "beyond")

    def _put_rows(self, m, advance, issue, outside, words):
        """Put out what has been read: the memories' own registers, but where pads take its place."""
        valid = Signal()
        padded = Signal(reset_less=True)
        with m.If(advance):
            m.d.sync += [valid.eq(issue), padded.eq(outside)]
        if self._replaced:
            result = Signal.like(self.o.payload, name="result", reset_less=True)
            m.d.comb += self.o.payload.eq(result)
            with m.If(advance):
                m.d.sync += [self.o.valid.eq(valid), result.eq(words)]
                with m.If(padded):  # the registers' synchronous reset, no multiplexers
                    m.d.sync += result.eq(self._pad_word().replicate(self.banks))
        else:
            m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(Cat(words, padded) if self.flagged else words)]

    def _write(self, m, memories):
        """Store the input; returns whether it ends a row."""
        groups, joined = self.groups, self.joined
        step = self.i.valid & self.i.ready
        loops = nest(m, step, write_group=groups, write_column=self.layer.input.width // self.given)
        group, group_last = loops["write_group"]
        row_last = loops["write_column"][1]
        turn = nest(m, step & group_last, write_bank=self.banks // self.given)["write_bank"][0]
        row = Signal(range(self.depth), name="write_row")
        address = Signal(range(self.depth), name="write_address")
        for k, memory in enumerate(memories):
            which, part = divmod(k * joined, self.given)
            m.d.comb += [
                memory.write.addr.eq(address + group),
                memory.write.data.eq(self.i.payload.word_select(part // joined, joined * self.word)),
                memory.write.en.eq(step & (turn == which)),
            ]
        with m.If(step & row_last):
            m.d.sync += [
                row.eq(wrap_add(row, self.row_words, self.depth)),
                address.eq(wrap_add(row, self.row_words, self.depth)),
                turn.eq(0),
            ]
        with m.Elif(step & group_last & (turn == self.banks // self.given - 1)):
            m.d.sync += address.eq(address + groups)
        return step & row_last

    def _read(self, m, memories, full, issued, freed):
        """Go through the window's loops as rows come, and fetch what they point at."""
        layer = self.layer
        needs, releases = schedule(layer)
        advance = Signal()
        issue = Signal()
        loops = nest(m, issue, tap_x=layer.kernel[1], tap_y=layer.kernel[0],
                     group=self.groups, again=self.repeat, position=layer.output.width // self.pixels,
                     row=layer.output.height)
        row, row_last = loops["row"][0], loops["position"][1]
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            issue.eq(advance & (full >= table(m, row, needs, "need"))),
            issued.eq(Mux(issue & row_last, table(m, row, releases, "leaving"), 0)),
        ]
        place = self._place(m, issue, loops)
        self._fetch(m, memories, advance, (issue, issued, loops["tap_x"][0]), place, freed)

    def _place(self, m, issue, loops):
        """Image row and column of the tap, and the address of its word in a bank that it starts from."""
        layer, image, (step_y, step_x) = self.layer, self.layer.input, self.layer.stride
        rows, groups, depth = layer.output.height, self.groups, self.depth
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

    def _fetch(self, m, memories, advance, control, place, freed):
        """Add up addresses, read, arrange: four steps, all of which wait while the output does."""
        layer, image, (step_y, step_x) = self.layer, self.layer.input, self.layer.stride
        (height, width), (top_pad, left_pad), joined = layer.kernel, layer.pads[:2], self.joined

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

        for k, memory in enumerate(memories):
            shifts = [self._word_of(k * joined, tap) * self.groups for tap in range(width)]
            address = (base + table(m, control[2], shifts, f"offset{k}"))[:len(memory.read.addr)]
            m.d.comb += [memory.read.addr.eq(stage(address, f"address{k}")), memory.read.en.eq(advance)]
        padded = stage(Cat(outside_row | _outside(column + x, x - left_pad, x + last_column, image.width)
                           for x in range(0, self.banks, step_x)), "padded2")
        control = carried(2)
        padded, control = stage(padded, "padded3"), carried(3)

        valid, freeing, tap = control
        result = Signal.like(self.o.payload, name="taps", reset_less=True)
        m.d.comb += [freed.eq(Mux(advance, freeing, 0)), self.o.payload.eq(result)]
        banks = [memory.read.data.word_select(k, self.word) for memory in memories for k in range(joined)]
        sources = [select([banks[(x + t - left_pad) % self.banks] for t in range(width)], tap)
                   for x in range(0, self.banks, step_x)]
        if self._replaced:
            sources = [Mux(pad, self._pad_word(), source) for pad, source in zip(padded, sources, strict=True)]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), result.eq(Cat(*sources, padded if self.flagged else Const(0, 0)))]

    def _pad_word(self):
        return Const(sum((self.pad_code or 0) << k * self.bits for k in range(self.simd)), self.word)

    def _word_of(self, bank, tap):
        """Which word, from the group's own, ``bank`` must give for tap column ``tap``."""
        columns = (p * self.layer.stride[1] + tap - self.layer.pads[1] for p in range(self.pixels))
        return next((c // self.banks for c in columns if c % self.banks == bank), 0)
