# amaranth: UnusedElaboratable=no
"""Sums of passes added up: accumulators of every lane, and the buffer of those that are finished."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..counters import select
from ..memory import Ram
from ..units import add_unit
from .later import later
from .token import Token

__all__ = ["Accumulator", "Accumulators"]


class Accumulator(wiring.Component):
    """Accumulators and finished sums of one lane.

    All ports but ``sum`` are shared by the lanes. ``sum`` comes in the clock after ``address``; ``begin``, ``target``
    and the write enables two clocks after that, with the total.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    sum_bits : int
        Of the signed sum that comes in.

    Members
    -------
    sum : In(signed(sum_bits))
    address : In(range(shape.out_depth))
        Accumulator to be read.
    begin : In(1)
        Its content does not count; two clocks after the address.
    target : In(range(shape.out_depth))
        Where the total goes, three clocks after the address.
    keep, finish : In(1)
        Write it to the accumulator, to the buffer of finished sums; with ``target``.
    read_address : In(range(shape.out_depth))
        Finished sum to be read.
    finished : Out(signed(shape.acc_bits))
        That sum, two clocks later.
    """

    def __init__(self, shape, sum_bits):
        self.acc_bits, self.out_depth, self.sum_bits = shape.acc_bits, shape.out_depth, sum_bits
        self.unit_name = f"accumulator_{self.out_depth}x{self.acc_bits}_{sum_bits}"
        place = range(self.out_depth)
        super().__init__({
            "sum": In(signed(sum_bits)), "address": In(place), "begin": In(1), "target": In(place),
            "keep": In(1), "finish": In(1), "read_address": In(place), "finished": Out(signed(self.acc_bits))})

    def elaborate(self, platform):
        m = Module()

        m.submodules.partial = partial = Ram(self.acc_bits, self.out_depth, "partial")
        m.submodules.complete = complete = Ram(self.acc_bits, self.out_depth, "complete")
        total, value, before = (Signal(signed(self.acc_bits), name=name, reset_less=True)
                                for name in ("total", "value", "before"))
        m.d.comb += [
            partial.read.en.eq(1), partial.read.addr.eq(self.address),
            complete.read.en.eq(1), complete.read.addr.eq(self.read_address),
            partial.write.en.eq(self.keep), complete.write.en.eq(self.finish),
        ]
        for memory in partial, complete:
            m.d.comb += [memory.write.addr.eq(self.target), memory.write.data.eq(total)]
        m.d.sync += [
            value.eq(self.sum),
            before.eq(partial.read.data),
            total.eq(value + Mux(self.begin, 0, before)),
            self.finished.eq(complete.read.data),
        ]

        return m


class Accumulators(wiring.Component):
    """Accumulators of all lanes.

    A finished sum can be read from the clock of ``done`` on.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    sum_bits : int
        Of the signed sums that come in.

    Members
    -------
    token : In(Token)
        Slot whose sums come :attr:`lead` clocks later; slots with the same target are at least 8 clocks apart.
    sums : In(shape.lanes * sum_bits)
    done : Out(1)
        High for a clock when all of a pass has been written.
    read_address : In(range(shape.out_depth))
        Finished sum to be read.
    read_group : In(range(shape.lanes // shape.drains))
        Of which lanes: as many as are drained at once, from that multiple of them on.
    finished : Out(shape.drains * shape.acc_bits)
        Their sums, :attr:`read_latency` clocks later.

    Raises
    ------
    ValueError
        Sums are wider than accumulators.
    """

    lead = 2

    def __init__(self, shape, sum_bits):
        if sum_bits > shape.acc_bits:
            raise ValueError(f"sums of {sum_bits} bits, but accumulators of {shape.acc_bits}")
        self.shape, self.sum_bits = shape, sum_bits
        self.groups = shape.lanes // shape.drains
        self.unit_name = "accumulators"
        super().__init__({
            "token": In(Token()),
            "sums": In(shape.lanes * sum_bits),
            "done": Out(1),
            "read_address": In(range(shape.out_depth)),
            "read_group": In(range(max(2, self.groups))),
            "finished": Out(shape.drains * shape.acc_bits),
        })

    @property
    def read_latency(self):
        """Clocks from ``read_address`` to ``finished``: three, and one for each level of multiplexers of four."""
        return 3 + (max(0, (self.groups - 1).bit_length()) + 1) // 2

    def elaborate(self, platform):
        m = Module()

        token = self.token
        targets = later(m, token.target[:len(self.read_address)], 4, "target", reset_less=True)
        begins = later(m, token.first, 3, "begin", reset_less=True)
        keep = later(m, token.slot & token.valid & ~token.last, 4, "keep")[-1]
        finish = later(m, token.slot & token.valid & token.last, 4, "finish")[-1]
        m.d.comb += self.done.eq(later(m, token.slot & token.end, 5, "end")[-1])
        read_address = later(m, self.read_address, 1, "read_address", reset_less=True)[-1]
        finished = []
        for number in range(self.shape.lanes):
            lane = add_unit(m, f"lane{number}", Accumulator(self.shape, self.sum_bits), platform)
            m.d.comb += [
                lane.sum.eq(self.sums.word_select(number, self.sum_bits)),
                lane.address.eq(targets[1]), lane.begin.eq(begins[3]), lane.target.eq(targets[4]),
                lane.keep.eq(keep), lane.finish.eq(finish), lane.read_address.eq(read_address),
            ]
            finished.append(lane.finished)
        self._select(m, finished)

        return m

    def _select(self, m, finished):
        """Lead the group that is read to ``finished``, a level of multiplexers a clock."""
        drains = self.shape.drains
        words = [Cat(finished[k:k + drains]) for k in range(0, len(finished), drains)]
        levels = self.read_latency - 3
        groups = later(m, self.read_group, 2 + levels, "read_group", reset_less=True)[3:]
        for level, group in enumerate(groups):
            words = [select(words[k:k + 4], group[2 * level:2 * level + 2]) for k in range(0, len(words), 4)]
            words = [later(m, word, 1, f"level{level}_{k}_", reset_less=True)[-1] for k, word in enumerate(words)]
        m.d.comb += self.finished.eq(words[0])
