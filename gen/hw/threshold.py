"""Integers to few-bit activations by comparison with thresholds, and sums to scores."""

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values, pack
from .codes import decoded
from .counters import nest
from .memory import Rom
from .stream import skid

__all__ = ["Offset", "Threshold", "in_totals"]


def in_totals(thresholds, lane, weights):
    """``thresholds`` of a convolution with ``weights`` (a row for each filter), in the numbers that ``lane`` counts in.

    gain * total + offset >= t  <=>  total >= ceil((t - offset) / gain)
    """
    offsets = np.array(lane.offsets(weights.reshape(len(weights), -1)), np.int64)
    return -((offsets[:, None] - thresholds) // lane.gain)


def _items(payload, lanes, values):
    """The numbers in a payload."""
    return [decoded(payload.word_select(k, values.bits), values) for k in range(lanes)]


class Threshold(wiring.Component):
    """How many thresholds of its channel each value has reached, by binary search: one bit of the answer a stage.

    A stage takes two clocks: one to read the thresholds, one to compare.

    Parameters
    ----------
    thresholds : int array, shape (channels, levels - 1)
        Ascending in each row.
    flip : bool array, shape (channels,)
        Channels that count the thresholds not reached.
    source, values : gen.bits.Values
        What comes in and what goes out.
    lanes : int
        Channels in a payload; divides the channels.
    file : str
        Stem of the threshold files.

    Members
    -------
    i : In(stream.Signature(lanes * source.bits))
    o : Out(stream.Signature(lanes * values.bits))
    """

    def __init__(self, thresholds, flip, *, source, values, lanes, file):
        self.source, self.values, self.lanes, self.file = source, values, lanes, file
        self.unit_name, self.flip = file, np.asarray(flip)
        self.stages = max(1, (values.levels - 1).bit_length())
        # Beyond either end of the source's range all thresholds are alike; missing levels are never reached.
        self.limits = Values(source.lo, source.hi + 1)
        unreached = np.full((len(thresholds), (1 << self.stages) - values.levels), source.hi + 1)
        self.thresholds = np.concatenate([np.clip(thresholds, source.lo, source.hi + 1), unreached], axis=1)
        super().__init__({
            "i": In(stream.Signature(lanes * source.bits)),
            "o": Out(stream.Signature(lanes * values.bits)),
        })

    @property
    def folds(self):
        """Payloads a position."""
        return len(self.thresholds) // self.lanes

    def tables(self, stage):
        """Contents of the memories of ``stage``: a list of (codes of shape (depth, items), bits of an item).

        The first stage has one memory for all lanes, each item with the channel's flip on top if there are any;
        the others have one for each lane, low lanes first, which the bits found so far address, too.
        """
        candidates, bits = (2 * np.arange(1 << stage) + 1) << self.stages - 1 - stage, self.limits.bits
        codes = self.limits.encode(self.thresholds[:, candidates - 1]).reshape(self.folds, self.lanes, -1)
        if stage:
            return [(codes[:, lane].reshape(-1, 1), bits) for lane in range(self.lanes)]
        flips = self.flip.reshape(self.folds, self.lanes).astype(int)
        return [(codes[:, :, 0] | flips << bits, bits + bool(self.flip.any()))]

    def _roms(self, m, stage):
        """Threshold memories of ``stage``, a list."""
        roms = []
        for lane, (words, bits) in enumerate(self.tables(stage)):
            suffix = f"{stage}_{lane}" if stage else ""
            roms.append(Rom(pack(words, bits), words.shape[1] * bits, f"{self.file}_{suffix}".rstrip("_"),
                            f"thresholds{suffix}"))
            m.submodules[roms[-1].name] = roms[-1]
        return roms

    def elaborate(self, platform):
        m = Module()

        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def stage(value, name):
            register = Signal.like(value, name=name, reset_less=not name.startswith("valid"))
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        fold, _ = nest(m, self.i.valid & self.i.ready, fold=self.folds)["fold"]
        payload, valid, flips = self.i.payload, self.i.valid, Const(0, self.lanes)
        prefixes = [Const(0, 0)] * self.lanes
        for number in range(self.stages):
            roms = self._roms(m, number)
            for k, rom in enumerate(roms):
                m.d.comb += [rom.read.addr.eq(Cat(prefixes[k], fold) if number else fold), rom.read.en.eq(advance)]
            words = [rom.read.data for rom in roms]
            if number == 0:
                words = [words[0].word_select(k, len(words[0]) // self.lanes) for k in range(self.lanes)]
                flips = Cat(word[self.limits.bits:] for word in words)
            elif len(flips):
                flips = stage(flips, f"flips{number}")
            payload, valid, fold = stage(payload, f"x{number}"), stage(valid, f"valid{number}"), stage(
                fold, f"fold{number}")
            prefixes = [stage(p, f"prefix{number}_{k}") if len(p) else p for k, p in enumerate(prefixes)]
            limits = [w[:self.limits.bits].as_signed() if self.limits.signed else w[:self.limits.bits] for w in words]
            reached = [x >= t for x, t in zip(_items(payload, self.lanes, self.source), limits, strict=True)]
            payload, valid, fold = (stage(value, f"{name}{number}_compared") for value, name in (
                (payload, "x"), (valid, "valid"), (fold, "fold")))
            flips = stage(flips, f"flips{number}_compared") if len(flips) else flips
            prefixes = [stage(Cat(r, p), f"prefix{number}_{k}_compared")
                        for k, (r, p) in enumerate(zip(reached, prefixes, strict=True))]
        flips = flips if len(flips) else Const(0, self.lanes)
        codes = Signal.like(self.o.payload, name="codes", reset_less=True)
        m.d.comb += self.o.payload.eq(codes)
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), codes.eq(Cat(
                self._code(p, flip) for p, flip in zip(prefixes, flips, strict=True)))]

        return m

    def _code(self, count, flip):
        """Code of the value that ``count`` stands for, or with ``flip`` the count of the other thresholds."""
        low, step = (0, 1) if self.values.bipolar else (self.values.lo, self.values.step)
        high = low + step * (self.values.levels - 1)
        return Mux(flip, high - step * count, low + step * count)[:self.values.bits]


class Offset(wiring.Component):
    """Dot products from a lane's totals: ``gain * total + offset[channel]``.

    Parameters
    ----------
    offsets : int array, shape (channels,)
    gain : int
    source, values : gen.bits.Values
        Totals, and dot products.
    lanes : int
        Channels in a payload.
    file : str
        Stem of the offset file.
    """

    def __init__(self, offsets, gain, *, source, values, lanes, file):
        self.offsets, self.gain, self.source, self.values = np.asarray(offsets), gain, source, values
        self.lanes, self.file, self.unit_name = lanes, file, file
        self.kept = Values(int(self.offsets.min()), int(self.offsets.max()))
        super().__init__({
            "i": In(stream.Signature(lanes * source.bits)),
            "o": Out(stream.Signature(lanes * values.bits)),
        })

    def elaborate(self, platform):
        m = Module()

        given, advance = skid(m, platform, self.o), Signal()
        valid = Signal()
        payload = Signal.like(self.i.payload, name="totals", reset_less=True)
        m.d.comb += [advance.eq(given.ready), self.i.ready.eq(advance)]
        sums = [self.gain * x + t for x, t in zip(
            _items(payload, self.lanes, self.source), self._addends(m, advance), strict=True)]
        with m.If(advance):
            m.d.sync += [payload.eq(self.i.payload), valid.eq(self.i.valid)]
        m.d.comb += [given.valid.eq(valid), given.payload.eq(Cat(x[:self.values.bits] for x in sums))]

        return m

    def _addends(self, m, advance):
        """What to add to each lane, a clock after it came in: a constant, or from memory where channels differ."""
        if self.kept.lo == self.kept.hi:
            return [Const(self.kept.lo)] * self.lanes
        table = self.kept.encode(self.offsets).reshape(-1, self.lanes)
        fold, _ = nest(m, self.i.valid & self.i.ready, fold=len(table))["fold"]
        m.submodules.offsets = rom = Rom(pack(table, self.kept.bits), self.lanes * self.kept.bits, self.file, "offsets")
        m.d.comb += [rom.read.addr.eq(fold), rom.read.en.eq(advance)]
        return _items(rom.read.data, self.lanes, self.kept)
