# amaranth: UnusedElaboratable=no
"""Which finished sums are read when: windows of the pooling, group of lanes by group of lanes."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.records import LAYOUTS, PARAMETER_ROOM, Op
from ...svpe.shape import WORD
from .rescaler import Mode

__all__ = ["BLOCKS", "BLOCK_WORDS", "Block", "Step", "Windows"]

BLOCK_WORDS = 16  # of each lane of a group, stored at once
BLOCKS = 4  # that a lane has room for
_COORDINATE = 16  # bits of an address, and of a row or column, which is beyond the map when negative


class Step(data.StructLayout):
    """What becomes of a sum that is read; all 0 if none is.

    Members
    -------
    swap
        It is the first of its group: parameters are exchanged.
    mode
        What becomes of it by itself.
    first, last
        Of its window: whose maximum the result is.
    slot
        Of the result within its memory word, in results.
    full
        The result completes the word.
    close
        It completes the block.
    """

    def __init__(self):
        super().__init__({"swap": 1, "mode": Mode(), "first": 1, "last": 1, "slot": 3, "full": 1, "close": 1})


class Block(data.StructLayout):
    """Words that are stored at once, ``words`` of each of ``lanes`` lanes.

    Those of the first lane go to ``address``, of every further one ``stride`` bytes beyond. ``final``: they are the
    last ones of their record.
    """

    def __init__(self, drains):
        super().__init__({"address": 32, "stride": 32, "words": range(BLOCK_WORDS + 1), "lanes": range(drains + 1),
                          "final": 1})


class Windows(wiring.Component):
    """Go through the windows of a record, a position a clock, while there is room for what comes of them.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    i : In(stream.Signature)
        DRAIN records, as :data:`gen.svpe.records.LAYOUTS` has them.
    wanted, index, plain, loaded, start
        To :class:`gen.hw.svpe.parameters.Parameters`.
    address : Out(range(shape.out_depth))
        Finished sum to be read.
    group : Out(range(shape.lanes // shape.drains))
        Of which lanes.
    step : Out(Step)
        What becomes of it.
    block : Out(Block(shape.drains))
        In the clock of ``step.close``.
    sent : In(1)
        High for a clock when a block has been stored: there is room for another one.
    """

    def __init__(self, shape):
        self.drains = shape.drains
        self.unit_name = "windows"
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(dict(LAYOUTS[Op.DRAIN])))),
            "wanted": Out(1), "index": Out(range(PARAMETER_ROOM)), "plain": Out(1), "loaded": In(1), "start": Out(1),
            "address": Out(range(shape.out_depth)), "group": Out(range(max(2, shape.lanes // shape.drains))),
            "step": Out(Step()), "block": Out(Block(shape.drains)), "sent": In(1)})

    def elaborate(self, platform):
        m = Module()

        record, step, block = self.i.p, self.step, self.block
        begun, running, go, more = (Signal(name=name) for name in ("begun", "running", "go", "more"))
        held = Signal(range(BLOCKS + 1))  # blocks complete, or about to be, and not yet stored
        lanes = Signal(8)  # of this group and those behind it
        tile = Signal(32)
        ends = _loops(m, self.start, go, kernel_column=record.kernel, kernel_row=record.kernel,
                      column=record.columns_out, row=record.rows_out)
        m.d.comb += [
            more.eq(lanes > self.drains),
            self.wanted.eq(begun & (~running | more)), self.plain.eq(record.raw),
            self.start.eq(self.loaded & begun & ~running),
            go.eq(running & (held != BLOCKS)),
            self.i.ready.eq(go & ends["row"] & ~more),
            block.stride.eq(record.plane_stride), block.lanes.eq(Mux(more, self.drains, lanes)),
            block.final.eq(self.i.ready),
        ]
        self._pack(m, go, ends)
        self._read(m, go, ends)
        m.d.sync += held.eq(held + step.close - self.sent)
        with m.If(self.i.valid & ~begun):
            m.d.sync += [begun.eq(1), lanes.eq(record.lanes), self.index.eq(record.parameters), self.group.eq(0),
                         tile.eq(record.address), block.address.eq(record.address)]
        with m.If(self.start):
            m.d.sync += [running.eq(1), self.index.eq(self.index + self.drains)]
        with m.If(step.close):
            m.d.sync += block.address.eq(block.address + BLOCK_WORDS * WORD // 8)
        with m.If(go & ends["row"]):
            following = (tile + record.plane_stride * self.drains)[:32]
            m.d.sync += [running.eq(0), begun.eq(more), lanes.eq(lanes - self.drains), self.group.eq(self.group + 1),
                         tile.eq(following), block.address.eq(following)]

        return m

    def _pack(self, m, go, ends):
        """Where results go within words and blocks, and when these are complete."""
        step = self.step
        fresh, first = Signal(), Signal()
        slot = Signal(3)
        word = Signal(range(BLOCK_WORDS))
        m.d.comb += [
            step.swap.eq(go & fresh),
            step.first.eq(go & first),
            step.last.eq(go & ends["kernel_row"]),
            step.slot.eq(slot),
            step.full.eq(step.last & (ends["column"] | (slot == Mux(self.i.p.raw, 3, 7)))),
            step.close.eq(step.full & (ends["row"] | (word == BLOCK_WORDS - 1))),
            self.block.words.eq(word + 1),
        ]
        with m.If(go):
            m.d.sync += [fresh.eq(0), first.eq(step.last), slot.eq(Mux(step.full, 0, slot + step.last)),
                         word.eq(Mux(step.close, 0, word + step.full))]
        with m.If(self.start):
            m.d.sync += [fresh.eq(1), first.eq(1)]

    def _read(self, m, go, ends):
        """Addresses of positions, and whether they are within the map."""
        record, mode = self.i.p, self.step.mode
        source, line = Signal(_COORDINATE), Signal(_COORDINATE)  # of the first window; from one row of them to the next
        m.d.sync += [
            source.eq(record.source - _times(record.columns, record.pad_top) - record.pad_left),
            line.eq(_times(record.columns, record.stride)),
        ]
        left, top = (-pad for pad in (record.pad_left, record.pad_top))
        address = _follow(m, "address", self.start, go, ends, source, (1, record.columns, record.stride, line))
        column = _follow(m, "column", self.start, go, ends, left, (1, 0, record.stride, 0))
        row = _follow(m, "row", self.start, go, ends, top, (0, 1, 0, record.stride))
        m.d.comb += [
            self.address.eq(address),
            mode.raw.eq(record.raw), mode.signed.eq(record.signed), mode.high.eq(record.high),
            mode.bipolar.eq(record.bipolar),
            mode.inside.eq(go & (column < record.columns) & (row < record.rows)),
        ]


def _times(number, factor):
    """A product by additions: too small, and too seldom wanted, for a DSP block."""
    return sum(Mux(bit, number << place, 0) for place, bit in enumerate(factor))


def _loops(m, start, step, **counts):
    """Counters of nested loops, the innermost first: whether this step is the last of each and all within it."""
    lasts, within = {}, Const(1, 1)
    for name, count in counts.items():
        left, last = Signal(len(count), name=f"{name}s_left"), Signal(name=f"{name}_last")
        m.d.comb += last.eq(within & (left == 1))
        with m.If(step & within):
            m.d.sync += left.eq(left - 1)
        with m.If(start | (step & last)):
            m.d.sync += left.eq(count)
        lasts[name] = within = last
    return lasts


def _follow(m, name, start, go, ends, first, steps):
    """A number that begins with ``first`` and goes on by ``steps``, one for each loop, from where that loop was."""
    here = [Signal(_COORDINATE, name=f"{name}{level}", reset_less=True) for level in range(len(steps))]
    following = here[-1] + steps[-1]
    inner = list(zip(ends.values(), here, steps, strict=True))[:-1]
    for end, value, step in reversed(inner):
        following = Mux(end, following, value + step)
    with m.If(go):
        m.d.sync += here[0].eq(following)
        for (end, *_), value in zip(inner, here[1:], strict=True):
            with m.If(end):
                m.d.sync += value.eq(following)
    with m.If(start):
        m.d.sync += [value.eq(first) for value in here]
    return here[0]
