# amaranth: UnusedElaboratable=no
"""Matrix unit: ``pe`` outputs x ``simd`` inputs x ``pixels`` positions a clock."""

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bits import pack
from .counters import nest, select, wrap_add
from .lanes import lane_for
from .memory import Queue, Rom
from .units import add_unit

__all__ = ["MatrixUnit", "ProcessingElement"]


class ProcessingElement(wiring.Component):
    """A lane and its accumulator.

    ``step`` (add to ``total``) and ``first`` (start a new total) come ``lane.latency`` clocks after ``x`` and ``w``.
    """

    def __init__(self, lane, total):
        self.lane = lane
        self.unit_name = f"pe_{total.label}_{lane.unit_name}"
        members = {name: member for name, member in lane.signature.members.items() if name != "sum"}
        super().__init__(members | {
            "step": In(1), "first": In(1), "total": Out(Shape(total.bits, total.signed))})

    def elaborate(self, platform):
        m = Module()

        add_unit(m, "lane", self.lane, platform)
        for name in self.lane.signature.members:
            if name != "sum":
                m.d.comb += getattr(self.lane, name).eq(getattr(self, name))
        total = Signal.like(self.total, reset_less=True)
        with m.If(self.step):
            m.d.sync += total.eq(self.lane.sum + Mux(self.first, 0, total))
        m.d.comb += self.total.eq(total)

        return m


class MatrixUnit(wiring.Component):
    """Products of a window with every filter, ``pe`` filters and ``pixels`` windows at a time.

    One weight word serves all ``pixels`` positions. The arithmetic never waits: a queue takes the totals, and a window
    is begun only when the queue has room for them, so that no enable fans out to the lanes. Reading the queue puts the
    totals of neighbouring positions back into stream order.

    Parameters
    ----------
    layer : gen.network.Conv
        Weights, input values, padding.
    pe, simd, pixels : int
        Folding; ``pe`` divides the outputs.
    file : str
        Stem of the weight file.

    Members
    -------
    i : In(stream.Signature(pixels * simd * bits + flags))
        Taps as :class:`gen.hw.window.Window` gives them, each window ``outputs // pe`` times.
    o : Out(stream.Signature(pe * total.bits))
        Totals of ``pe`` filters at one position, in stream order; the dot product is ``lane.gain * total + offset``.
    """

    def __init__(self, layer, *, pe, simd, pixels, file):
        if len(layer.weights) % pe:
            raise ValueError(f"{layer.name}: pe {pe} does not divide {len(layer.weights)} outputs")
        self.layer, self.pe, self.simd, self.pixels, self.file = layer, pe, simd, pixels, file
        self.lane = lane_for(layer, simd)
        self.total = self.lane.total(layer)
        self.flagged = "pad" in self.lane.signature.members
        self.unit_name = file
        word = simd * layer.input.values.bits
        super().__init__({
            "i": In(stream.Signature(pixels * (word + self.flagged))),
            "o": Out(stream.Signature(pe * self.total.bits)),
        })

    @property
    def folds(self):
        """Times that a window is taken, for ``pe`` filters each."""
        return len(self.layer.weights) // self.pe

    @property
    def beats(self):
        """Payloads of a window."""
        return self.layer.fan_in // self.simd

    @property
    def latency(self):
        """Clocks from the last payload of a window to its totals in the queue."""
        return self.lane.latency + 4

    @property
    def queue_depth(self):
        """Totals of a group of positions, those that follow while it is read, and those on their way."""
        passes = self.pixels - 1
        return (self.folds if passes else 0) - (-passes * self.folds // self.beats) + self.latency // self.beats + 3

    def words(self):
        """Contents of the weight memory: for each fold and tap, ``simd`` weights of ``pe`` filters."""
        _, channels, height, width = self.layer.weights.shape
        weights = self.layer.weight_values.encode(self.layer.weights)
        folded = weights.reshape(self.folds, self.pe, channels // self.simd, self.simd, height, width)
        rows = folded.transpose(0, 2, 4, 5, 1, 3).reshape(self.folds * self.beats, self.pe * self.simd)
        return pack(rows, self.layer.weight_values.bits)

    def offsets(self):
        """What to add to ``gain * total`` for each filter, int64."""
        return np.array(self.lane.offsets(self.layer.weights.reshape(len(self.layer.weights), -1)), np.int64)

    def elaborate(self, platform):
        m = Module()

        full = Signal()
        push = Signal()
        step = Signal()
        m.d.comb += step.eq(self.i.valid & self.i.ready)
        loops = nest(m, step, beat=self.beats, fold=self.folds)
        beat, beat_last = loops["beat"]
        first = Signal()
        m.d.comb += [first.eq(beat == 0), self.i.ready.eq(~(first & full))]

        x, w, pads = self._operands(m, step, loops["fold"][1])
        control = [step, first, beat_last]
        for k in range(2 + self.lane.latency):
            control = [self._delayed(m, c, f"{n}{k}") for n, c in zip(("step", "first", "last"), control, strict=True)]
        step_total, first_total, last_total = control
        m.d.sync += push.eq(step_total & last_total)

        totals = []
        for p in range(self.pixels):
            for r in range(self.pe):
                unit = ProcessingElement(lane_for(self.layer, self.simd), self.total)
                add_unit(m, f"pe{r}_{p}", unit, platform)
                m.d.comb += [
                    unit.x.eq(x.word_select(p, len(x) // self.pixels)),
                    unit.w.eq(w.word_select(r, len(w) // self.pe)),
                    unit.step.eq(step_total), unit.first.eq(first_total),
                ]
                if self.flagged:
                    m.d.comb += unit.pad.eq(pads[p])
                totals.append(unit.total)
        self._queue(m, step & first, full, push, totals)

        return m

    def _delayed(self, m, value, name):
        register = Signal.like(value, name=name)
        m.d.sync += register.eq(value)
        return register

    def _operands(self, m, step, wrap):
        """Activations, weights and padding flags, two clocks after ``step``."""
        word = self.pixels * self.simd * self.layer.input.values.bits
        m.submodules.weights = weights = Rom(
            self.words(), self.pe * self.simd * self.layer.weight_values.bits, self.file, "weights")
        address = Signal(range(self.folds * self.beats))
        with m.If(step):
            m.d.sync += address.eq(Mux(wrap, 0, address + 1))
        m.d.comb += weights.read.addr.eq(address)
        x, w, pads = self.i.payload[:word], weights.read.data, self.i.payload[word:]
        for k in range(2):
            registers = [Signal.like(v, name=f"{n}{k}", reset_less=True) for n, v in (("x", x), ("pads", pads))]
            m.d.sync += [registers[0].eq(x), registers[1].eq(pads)]
            x, pads = registers
        w_register = Signal.like(w, name="w1", reset_less=True)
        m.d.sync += w_register.eq(w)
        return x, w_register, pads

    def _queue(self, m, reserve, full, push, totals):
        """Take ``totals`` at ``push``; give them out position by position. ``full``: no room for another window."""
        depth, width = self.queue_depth, self.pe * self.total.bits
        m.submodules.queue = queue = Queue(self.pixels * width, depth, "queue")
        tail = Signal(range(depth))
        m.d.comb += [queue.write.addr.eq(tail), queue.write.data.eq(Cat(*totals)), queue.write.en.eq(push)]
        with m.If(push):
            m.d.sync += tail.eq(wrap_add(tail, 1, depth))

        # All folds are read for one position after the other; each word is freed when the last position is read.
        pop = Signal()
        free = Signal()
        head = Signal(range(depth))
        loops = nest(m, pop, read_fold=self.folds, read_pixel=self.pixels)
        fold, pixel = loops["read_fold"][0], loops["read_pixel"][0]
        last_pass = pixel == self.pixels - 1
        ahead = Signal.like(fold, name="ahead")
        m.d.comb += [ahead.eq(Mux(last_pass, 0, fold)), free.eq(pop & last_pass)]
        address = Signal(range(2 * depth))
        m.d.comb += [address.eq(head + ahead), queue.read.addr.eq(Mux(address >= depth, address - depth, address))]
        with m.If(free):
            m.d.sync += head.eq(wrap_add(head, 1, depth))

        reserved = Signal(range(depth + 1))
        stored = Signal(range(depth + 1))
        remaining = Signal.like(reserved)
        m.d.comb += [remaining.eq(reserved + reserve - free), pop.eq((stored > ahead) & (~self.o.valid | self.o.ready))]
        m.d.sync += [reserved.eq(remaining), full.eq(remaining == depth), stored.eq(stored + push - free)]

        oldest = select([queue.read.data.word_select(p, width) for p in range(self.pixels)], pixel)
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(pop):
            m.d.sync += [self.o.valid.eq(1), result.eq(oldest)]
