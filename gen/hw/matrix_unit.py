# amaranth: UnusedElaboratable=no
"""Matrix unit: ``pe`` outputs x ``simd`` inputs x ``pixels`` positions a clock."""

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bits import pack
from ..folding import whole_rows
from ..memory_cost import DEEPEST_AT_ONCE, named
from .accumulator import DspAccumulator, LutAccumulator, TotalAccumulator, Totals
from .copies import copied
from .counters import nest, occupancy
from .lanes import lane_for
from .memory import Queue, Rom
from .threshold import in_totals
from .units import add_unit

__all__ = ["MatrixUnit"]

OPERANDS = 2  # clocks from a payload to the lanes' inputs
FAN_OUT = 32  # lanes, or accumulators, that a register drives


class MatrixUnit(wiring.Component):
    """Products of a window with every filter, ``pe`` filters and ``pixels`` windows at a time.

    One weight word serves all ``pixels`` positions. The arithmetic never waits: a queue takes the results, and a window
    is begun only when the queue has room for them, so that no enable fans out to the lanes.

    Parameters
    ----------
    layer : gen.network.Conv
        Weights, input values, padding.
    folding : gen.folding.Folding
        ``pe`` divides the outputs; with several ``taps`` a payload is a whole row of the image.
    threshold : gen.network.Threshold, optional
        Of binary activations, which then are what is put out: each sum begins at a start value that makes its sign the
        activation. Without it: totals.
    file : str
        Stem of the weight file.

    Members
    -------
    i : In(stream.Signature(words + flags))
        Taps as :class:`gen.hw.window.Window` gives them, each window ``folds`` times.
    o : Out(stream.Signature(pixels * pe * bits))
        Activations, or totals, of ``pe`` filters at ``pixels`` positions, position 0 in the low bits. The dot product
        is ``lane.gain * total + offset``.
    """

    def __init__(self, layer, folding, *, threshold=None, file):
        if len(layer.weights) % folding.pe:
            raise ValueError(f"{layer.name}: pe {folding.pe} does not divide {len(layer.weights)} outputs")
        self.layer, self.folding, self.threshold, self.file = layer, folding, threshold, file
        self.pe, self.simd, self.pixels, self.taps = folding.pe, folding.simd, folding.pixels, folding.taps
        self.rows = whole_rows(layer, folding)
        self.wired = layer.binary and self.folds * self.beats == 1
        self.lane = self._lane(0)
        self.lanes = [self._lane(self._outside(p)) for p in range(self.pixels)]
        self.ready = OPERANDS + max(lane.latency for lane in self.lanes)  # clocks from a payload to the lanes' rows
        self.total = self.lane.total(layer)
        self.unit_name = file
        self.word = self.simd * layer.input.values.bits
        padded = "pad" in self.lane.signature.members
        rows = layer.pads[0] or layer.pads[2]
        self.flags = padded and (bool(rows) if self.rows else self.pixels)
        words = layer.input.width if self.rows else self.pixels * self.taps
        self.bits = 1 if threshold else self.total.bits
        if threshold:
            self.limits = in_totals(threshold.thresholds, self.lane, layer.weights)[:, 0]
            self.totals = Totals.against(self.total.hi, self.limits)
        super().__init__({
            "i": In(stream.Signature(words * self.word + self.flags)),
            "o": Out(stream.Signature(self.pixels * self.pe * self.bits)),
        })

    @property
    def folds(self):
        """Times that a window is taken, for ``pe`` filters each."""
        return len(self.layer.weights) // self.pe

    @property
    def beats(self):
        """Payloads of a window."""
        return self.layer.fan_in // (self.simd * self.taps)

    @property
    def latency(self):
        """Clocks from the last payload of a window to its results in the queue."""
        return self.ready + self._accumulator().latency + 1

    @property
    def queue_depth(self):
        """Results that are on their way, or wait for the next unit."""
        return self.latency // self.beats + 3

    def words(self):
        """Contents of the weight memory: for each fold and beat, ``taps * simd`` weights of ``pe`` filters."""
        _, channels, height, width = self.layer.weights.shape
        weights = self.layer.weight_values.encode(self.layer.weights)
        folded = weights.reshape(self.folds, self.pe, channels // self.simd, self.simd,
                                 height * width // self.taps, self.taps)
        rows = folded.transpose(0, 2, 4, 1, 5, 3).reshape(self.folds * self.beats, -1)
        return pack(rows, self.layer.weight_values.bits)

    def starts(self):
        """Start values of the sums, for each fold those of ``pe`` filters."""
        codes = self.totals.start_codes(self.limits) + (0 if self.folding.dsp else self.totals.offset)
        return pack(codes.reshape(self.folds, self.pe), self._start_bits)

    def offsets(self):
        """What to add to ``gain * total`` for each filter, int64."""
        return np.array(self.lane.offsets(self.layer.weights.reshape(len(self.layer.weights), -1)), np.int64)

    @property
    def pad_code(self):
        """Code of what lies outside the image; None where that is flagged."""
        if "pad" in self.lane.signature.members:
            return None
        return self.lane.code(self.layer.pad_value)

    def _lane(self, outside):
        return lane_for(self.layer, self.simd, self.taps, outside, self.wired)

    @property
    def _start_bits(self):
        return self.totals.start_bits if self.folding.dsp else self.totals.bits

    def _columns(self, p):
        """Column of the image under each tap of position ``p``, of whole rows."""
        left = p * self.layer.stride[1] - self.layer.pads[1]
        return range(left, left + self.taps)

    def _inside(self, column):
        return 0 <= column < self.layer.input.width

    def _outside(self, p):
        """How many taps of position ``p`` are never there: the lane has to do without them."""
        if not self.rows or self.layer.pad_value in self.layer.input.values:
            return 0
        return sum(not self._inside(column) for column in self._columns(p))

    def _accumulator(self):
        """Of one lane, or of two."""
        if not self.threshold:
            row = getattr(self.lane, self.lane.rows[0]).shape()
            return TotalAccumulator(row, len(self.lane.rows), self.total)
        bits = max(len(lane.row0) for lane in self.lanes)
        return (DspAccumulator if self.folding.dsp else LutAccumulator)(bits, self.totals)

    def elaborate(self, platform):
        m = Module()

        hold, fills, push, step = (Signal(name=name) for name in ("hold", "fills", "push", "step"))
        m.d.comb += step.eq(self.i.valid & self.i.ready)
        loops = nest(m, step, beat=self.beats, fold=self.folds)
        _, beat_last = loops["beat"]
        fold, fold_last = loops["fold"]
        first, begins = Signal(init=1), Signal()
        m.d.comb += [begins.eq(Mux(step, beat_last, first)), self.i.ready.eq(~hold)]
        m.d.sync += [first.eq(begins), hold.eq(begins & fills)]

        x, flags, w = self._operands(m, platform, step, fold_last)
        accumulator = self._accumulator()
        delayed = _Delays(m, {"step": step, "first": first, "last": step & beat_last, "fold": fold, "flags": flags})
        copies = -(-self.pe * self.pixels // (FAN_OUT << self.folding.dsp))  # two share a DSP
        control = {name: copied(m, platform, delayed(name, self.ready + delay - 1), copies, f"{name}_now")
                   for name, delay in (("first", accumulator.first_delay), ("step", accumulator.step_delay))}
        m.d.comb += push.eq(delayed("last", self.ready + accumulator.latency))
        rows = self._lanes(m, platform, x, w, delayed)
        starts = self._starts(m, delayed, self.ready + accumulator.start_delay) if self.threshold else None
        results = self._accumulate(m, platform, rows, starts, control)
        self._queue(m, step & first, fills, push, results)

        return m

    def _operands(self, m, platform, step, wrap):
        """Activations, ``OPERANDS`` clocks after ``step``, flags at once, and weights as late as activations.

        The activations are there once for each ``FAN_OUT`` filters.
        """
        words = len(self.i.payload) - self.flags
        x = Signal(words, name="x0", reset_less=True)
        m.d.sync += x.eq(self.i.payload[:words])
        x = copied(m, platform, x, -(-self.pe // FAN_OUT), "x1")
        return x, self.i.payload[words:], self._weights(m, step, wrap)

    def _weights(self, m, step, wrap):
        """Weights as late as activations."""
        if self.wired:
            return Const(self.words()[0], self.pe * self.taps * self.simd)
        width, depth = self.pe * self.taps * self.simd * self.layer.weight_values.bits, self.folds * self.beats
        m.submodules.weights = weights = Rom(self.words(), width, self.file, "weights", registered=True,
                                             form=named(self.folding.memory, width, max(2, depth)))
        address = Signal(range(depth))
        with m.If(step):
            m.d.sync += address.eq(Mux(wrap, 0, address + 1))
        m.d.comb += [weights.read.addr.eq(address), weights.read.en.eq(1)]
        return weights.read.data

    def _lanes(self, m, platform, x, w, delayed):
        """Rows of the lanes, position by position; quicker ones wait for the others."""
        found = []
        for p, lane in enumerate(self.lanes):
            places = self._columns(p) if self.rows else range(p * self.taps, (p + 1) * self.taps)
            taps = [(t, place) for t, place in enumerate(places) if not (lane.missing and not self._inside(place))]
            words = [Cat(copy.word_select(place, self.word) if not self.rows or self._inside(place) else self._padding()
                         for _, place in taps) for copy in x]
            for r in range(self.pe):
                word = words[r // FAN_OUT]
                unit = add_unit(m, f"lane{r}_{p}", self._lane(self._outside(p)), platform)
                size = self.simd * self.layer.weight_values.bits
                weights = Cat(w.word_select(r * self.taps + t, size) for t, _ in taps)
                if self.wired:
                    every = Cat(bit.replicate(self.layer.input.values.bits) for bit in weights)
                    m.d.comb += unit.x.eq(~(word ^ every))
                else:
                    m.d.comb += [unit.x.eq(word), unit.w.eq(weights)]
                if "pad" in unit.signature.members and self.flags:
                    flags = delayed("flags", OPERANDS + unit.pad_delay)
                    m.d.comb += unit.pad.eq(flags[0 if self.rows else p])
                found.append([self._late(m, getattr(unit, row), self.ready - OPERANDS - lane.latency, f"{row}_{r}_{p}")
                              for row in unit.rows])
        return found

    def _padding(self):
        return Const(pack([[self.pad_code] * self.simd], self.layer.input.values.bits)[0], self.word)

    def _late(self, m, value, clocks, name):
        for k in range(clocks):
            register = Signal.like(value, name=f"{name}_{k}", reset_less=True)
            m.d.sync += register.eq(value)
            value = register
        return value

    def _starts(self, m, delayed, clocks):
        """Start values of ``pe`` filters, ``clocks`` after the first beat."""
        width = self.pe * self._start_bits
        if self.folds == 1:
            return Const(self.starts()[0], width)
        deep = self.folds > DEEPEST_AT_ONCE
        m.submodules.starts = starts = Rom(self.starts(), width, f"{self.file}_starts", "starts", registered=deep)
        m.d.comb += [starts.read.addr.eq(delayed("fold", clocks - 1 - deep)), starts.read.en.eq(1)]
        return starts.read.data

    def _accumulate(self, m, platform, rows, starts, control):
        """Results, position by position."""
        if self.threshold and self.folding.dsp:
            return self._in_dsps(m, platform, rows, starts, control)
        results = []
        for k, lane in enumerate(rows):
            unit = add_unit(m, f"accumulator{k % self.pe}_{k // self.pe}", self._accumulator(), platform)
            names = ("a", "b") if self.threshold else unit.rows
            m.d.comb += [getattr(unit, name).eq(row) for name, row in zip(names, lane, strict=True)]
            m.d.comb += [getattr(unit, name).eq(copies[k // FAN_OUT]) for name, copies in control.items()]
            if self.threshold:
                m.d.comb += unit.start.eq(starts.word_select(k % self.pe, self._start_bits))
            results.append(unit.sign if self.threshold else unit.total)
        return results

    def _in_dsps(self, m, platform, rows, starts, control):
        """Activations of two lanes from one DSP; the last may be alone."""
        results = []
        for k in range(0, len(rows), 2):
            unit = add_unit(m, f"accumulators{k // 2}", self._accumulator(), platform)
            m.d.comb += [getattr(unit, name).eq(copies[k // 2 // FAN_OUT]) for name, copies in control.items()]
            for j, (a, b) in enumerate(rows[k:k + 2]):
                m.d.comb += [getattr(unit, f"a{j}").eq(a), getattr(unit, f"b{j}").eq(b), getattr(unit, f"start{j}").eq(
                    starts.word_select((k + j) % self.pe, self._start_bits))]
                results.append(getattr(unit, f"sign{j}"))
        return results

    def _queue(self, m, reserve, fills, push, results):
        """Take ``results`` at ``push``; give them out. ``fills``: there may be no room for those of another window."""
        places = 1 << (self.queue_depth - 1).bit_length()  # as LUT memories have: pointers wrap by themselves
        m.submodules.queue = queue = Queue(len(self.o.payload), places, "queue")
        tail, head, pop = Signal(range(places)), Signal(range(places)), Signal()
        _, _, none_left = occupancy(m, reserve, pop, self.queue_depth, "reserved")
        stored, _, _ = occupancy(m, push, pop, self.queue_depth, "stored")
        m.d.comb += [queue.write.addr.eq(tail), queue.write.data.eq(Cat(*results)), queue.write.en.eq(push),
                     queue.read.addr.eq(head), pop.eq(stored & (~self.o.valid | self.o.ready)), fills.eq(none_left)]
        with m.If(push):
            m.d.sync += tail.eq(tail + 1)
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(pop):
            m.d.sync += [self.o.valid.eq(1), result.eq(queue.read.data), head.eq(head + 1)]


class _Delays:
    """Signals some clocks later: ``delays(name, clocks)``, each register once."""

    def __init__(self, m, signals):
        self.m, self.found = m, {name: [signal] for name, signal in signals.items()}

    def __call__(self, name, clocks):
        line = self.found[name]
        while len(line) <= clocks:
            register = Signal(len(line[0]), name=f"{name}{len(line)}", reset_less=name not in ("step", "last"))
            self.m.d.sync += register.eq(line[-1])
            line.append(register)
        return line[clocks]
