"""Sliding window over a stream of pixels: exact padding, any stride, several positions or whole rows at once."""

from itertools import accumulate, pairwise

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers import least_rows, schedule
from .counters import nest, ring, select, table
from .memory import Ram

__all__ = ["Window"]


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
        step, written = Signal(), Signal()  # a payload; the last of a row
        m.d.comb += step.eq(self.i.valid & self.i.ready)
        freed = Signal(), Signal(range(self.rows + 1))  # whether rows are, and how many if any
        counts = self._writer(m, written, freed)
        if self.taps > 1:
            m.d.comb += written.eq(self._write_rows(m, memories, step))
            self._read_rows(m, memories, counts, freed)
        else:
            m.d.comb += written.eq(self._write(m, memories, step))
            self._read(m, memories, counts, freed)

        return m

    def _counted(self, name, init=0):
        """Number of a row, counted over all frames, modulo so much that the top bit of a difference is its sign.

        What the next output row needs ends at most twice the ring behind what has been written.
        """
        return Signal((2 * self.rows - 1).bit_length() + 1, name=name, init=init)

    def _writer(self, m, written, freed):
        """Take the input while there is room for it; returns whether this clock ends a row, and the number of the next.

        ``freed`` is whether rows are freed in this clock, and how many, which is known before.
        """
        count = self._counted("rows_written")
        least = self._counted("rows_last", init=self.rows - 1)  # count with which the last row that has room is begun
        room = Signal(init=1)
        m.d.comb += self.i.ready.eq(room)
        some, number = freed
        m.d.sync += room.eq(some | (room & ~(written & (count == least))))
        with m.If(some):
            m.d.sync += least.eq(least + number)
        with m.If(written):
            m.d.sync += count.eq(count + 1)
        return written, count

    def _complete(self, m, counts, row, row_last):
        """Whether all rows that the output row needs have been written, and how many it frees: registers.

        What the next output row needs is known before this one ends, with ``row_last``; so only the choice between both
        is left for then, and for when a row is written.
        """
        written, count = counts
        needs, releases = schedule(self.layer)
        begins = [0, *accumulate(releases)]
        ends = [begin + need for begin, need in zip(begins, needs, strict=False)]
        steps = [b - a for a, b in pairwise([*ends, ends[0] + begins[-1]])]  # to what the next row needs
        this, following = self._counted("needed", init=ends[0]), self._counted("needed_next", init=ends[0] + steps[0])
        complete = Signal()
        frees = Signal(range(max(releases) + 1), init=releases[0])
        further = Signal(range(max(steps) + 1), init=(2 * steps)[1])  # from the next row to the one after it
        after = self._counted("rows_after", init=1)  # this one
        with m.If(written):
            m.d.sync += after.eq(after + 1)
        cases = [(given & ended, (found - needed)[len(count) - 1])  # a multiplexer would be moved before the difference
                 for given, found in ((~written, count), (written, after))
                 for ended, needed in ((~row_last, this), (row_last, following))]
        m.d.sync += complete.eq(~Cat(case & late for case, late in cases).any())
        frees_next, further_next = (table(m, row, (3 * values)[k:k + len(values)], name) for values, k, name in (
            (releases, 1, "frees_next"), (steps, 2, "further_next")))
        with m.If(row_last):
            m.d.sync += [this.eq(following), following.eq(following + further), frees.eq(frees_next),
                         further.eq(further_next)]
        return complete, frees

    def _write_rows(self, m, memories, step):
        """Store the input where each bank holds one column; returns whether it ends a row."""
        loops = nest(m, step, write_group=self.groups, write_column=len(memories), write_slot=self.rows)
        group, group_last = loops["write_group"]
        turn = ring(m, step & group_last, len(memories), "turn")
        for k, memory in enumerate(memories):
            m.d.comb += [
                memory.write.addr.eq(Cat(group, loops["write_slot"][0])),
                memory.write.data.eq(self.i.payload),
                memory.write.en.eq(step & turn[k]),
            ]
        return step & loops["write_column"][1]

    def _read_rows(self, m, memories, counts, freed):
        """Read whole rows; what is read at a clock's end can be overwritten from the next clock on."""
        layer, height = self.layer, self.layer.kernel[0]
        advance, issue, row_ends = Signal(), Signal(), Signal()
        loops = nest(m, issue, tap=height, group=self.groups, again=self.repeat, row=layer.output.height)
        tap, row = loops["tap"][0], loops["row"][0]
        complete, frees = self._complete(m, counts, row, row_ends)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), issue.eq(advance & complete),
                     row_ends.eq(issue & loops["again"][1]), freed[0].eq(row_ends & frees.any()), freed[1].eq(frees)]
        slot = self._slot(m, issue, loops["tap"][1], loops["again"][1], loops["row"][1])
        for memory in memories:
            m.d.comb += [memory.read.addr.eq(Cat(loops["group"][0], slot)), memory.read.en.eq(advance)]
        self._put_rows(m, advance, issue, self._beyond(m, row, tap), Cat(memory.read.data for memory in memories))

    def _slot(self, m, issue, column_ends, row_ends, frame_ends):
        """Where in the ring the image row is kept on which a tap lies.

        With ``issue``, one down; back to the first where the window's last row ``column_ends``, or to the first of the
        next output row. All three are what comes after this tap, if ``issue``.
        """
        layer, rows = self.layer, self.rows
        ahead = layer.input.height - (layer.output.height - 1) * layer.stride[0]  # from there to the next frame's first
        first = Signal(range(rows), name="first_slot", init=-layer.pads[0] % rows)  # of the window's top
        slot = Signal(range(rows), init=-layer.pads[0] % rows)

        def moved(value, steps, name):
            return table(m, value, [(min(k, rows - 1) + steps) % rows for k in range(1 << len(value))], name)

        following = Signal.like(slot, name="following_slot")
        m.d.comb += following.eq(Mux(frame_ends, moved(first, ahead, "first_of_frame"),
                                     moved(first, layer.stride[0], "first_of_row")))
        below = moved(slot, 1, "slot_below")
        with m.If(issue):
            m.d.sync += slot.eq(Mux(row_ends, following, Mux(column_ends, first, below)))
            with m.If(row_ends):
                m.d.sync += first.eq(following)
        return slot

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

    def _write(self, m, memories, step):
        """Store the input; returns whether it ends a row."""
        groups, joined, turns = self.groups, self.joined, self.banks // self.given
        loops = nest(m, step, write_group=groups, write_column=self.layer.input.width // self.given)
        group_last, row_last = loops["write_group"][1], loops["write_column"][1]
        turn = ring(m, step & group_last, turns, "turn", row_last)
        slot = nest(m, step & row_last, write_slot=self.rows)["write_slot"]
        address, word = (Signal(range(self.depth), name=name) for name in ("write_address", "write_word"))
        for k, memory in enumerate(memories):
            which, part = divmod(k * joined, self.given)
            m.d.comb += [
                memory.write.addr.eq(address),
                memory.write.data.eq(self.i.payload.word_select(part // joined, joined * self.word)),
                memory.write.en.eq(step & turn[which]),
            ]
        following, row = Signal.like(address, name="next_address"), Signal.like(address, name="next_row")
        m.d.comb += [following.eq(address + 1), row.eq(self._address_of(m, slot[0], "write_row", 1))]
        with m.If(step):
            m.d.sync += address.eq(Mux(row_last, row, Mux(group_last & ~turn[-1], word, following)))
            with m.If(row_last | (group_last & turn[-1])):
                m.d.sync += word.eq(Mux(row_last, row, following))
        return step & row_last

    def _address_of(self, m, slot, name, steps=0):
        """Where the row begins that lies ``steps`` behind ``slot`` in the ring."""
        rows = self.rows
        return table(m, slot, [(min(k, rows - 1) + steps) % rows * self.row_words for k in range(1 << len(slot))], name)

    def _read(self, m, memories, counts, freed):
        """Go through the window's loops as rows come, and fetch what they point at."""
        layer = self.layer
        advance, issue, row_ends = Signal(), Signal(), Signal()
        loops = nest(m, issue, tap_x=layer.kernel[1], tap_y=layer.kernel[0],
                     group=self.groups, again=self.repeat, position=layer.output.width // self.pixels,
                     row=layer.output.height)
        complete, frees = self._complete(m, counts, loops["row"][0], row_ends)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            issue.eq(advance & complete),
            row_ends.eq(issue & loops["position"][1]),
        ]
        self._fetch(m, memories, advance, (issue, Mux(row_ends, frees, 0)), self._place(m, issue, loops), freed)

    def _place(self, m, issue, loops):
        """Where a bank keeps the word of the tap that it starts from: the row's address, and the place in the row."""
        slot = self._slot(m, issue & loops["tap_x"][1], loops["tap_y"][1], loops["position"][1], loops["row"][1])
        first, word, following = (Signal(range(self.row_words + self.groups), name=name)
                                  for name in ("first_word", "word", "next_word"))  # of the position; of the tap
        m.d.comb += following.eq(word + 1)
        with m.If(issue & loops["tap_y"][1]):
            m.d.sync += word.eq(Mux(loops["position"][1], 0, Mux(
                loops["group"][1] & ~loops["again"][1], first, following)))
            with m.If(loops["again"][1]):
                m.d.sync += first.eq(Mux(loops["position"][1], 0, following))
        return loops, self._address_of(m, slot, "line"), word

    def _outside(self, m, loops):
        """Whether the taps lie above or below the image, and which positions' beside it."""
        (_, left), (_, step) = self.layer.pads[:2], self.layer.stride
        tap, position = loops["tap_x"][0], loops["position"][0]
        count, width = self.layer.output.width // self.pixels, self.layer.kernel[1]
        above = self._beyond(m, loops["row"][0], loops["tap_y"][0])
        beside = []
        for p in range(self.pixels):
            columns = [(x * self.pixels + p) * step - left + min(t, width - 1)
                       for x in range(count) for t in range(1 << len(tap))]
            beside.append(table(m, Cat(tap, position), [int(not 0 <= c < self.layer.input.width) for c in columns],
                                f"beside{p}"))
        return above, Cat(bit | Const(0, 1) for bit in beside)  # never is no bit

    def _fetch(self, m, memories, advance, control, place, freed):
        """Add up addresses, read, arrange: four steps, all of which wait while the output does."""
        (width, left_pad), joined = (self.layer.kernel[1], self.layer.pads[1]), self.joined
        step_x, (loops, line, word) = self.layer.stride[1], place

        def stage(value, name):
            register = Signal.like(value, name=name, init=0, reset_less=not name.startswith(("valid", "freeing")))
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        valid, freeing = (stage(value, name) for value, name in zip(control, ("valid1", "freeing1"), strict=True))
        above, beside = (stage(value, name) for value, name in zip(
            self._outside(m, loops), ("above1", "beside1"), strict=True))
        tap, base = stage(loops["tap_x"][0], "tap1"), stage(
            (word + line)[:max(1, (self.depth - 1).bit_length())], "base")
        for k, memory in enumerate(memories):
            shifts = [self._word_of(k * joined, t) * self.groups for t in range(width)]
            address = (base + table(m, tap, shifts, f"offset{k}"))[:len(memory.read.addr)]
            m.d.comb += [memory.read.addr.eq(stage(address, f"address{k}")), memory.read.en.eq(advance)]
        valid, freeing, tap, padded = (stage(value, f"{name}2") for value, name in (
            (valid, "valid"), (freeing, "freeing"), (tap, "tap"), (beside | above.replicate(self.pixels), "padded")))
        m.d.comb += freed[0].eq(freed[1].any())
        m.d.sync += freed[1].eq(Mux(advance, freeing, 0))  # what is read in this clock
        valid, tap, padded = (stage(value, f"{name}3") for value, name in (
            (valid, "valid"), (tap, "tap"), (padded, "padded")))

        result = Signal.like(self.o.payload, name="taps", reset_less=True)
        m.d.comb += self.o.payload.eq(result)
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
