"""How many clocks a program takes, and what it waits for: its four units as they work side by side, without data."""

from collections import Counter, deque
from dataclasses import dataclass, field

from ..hw.svpe.windows import BLOCK_WORDS, BLOCKS
from .records import Op
from .shape import WORD, WORD_PIXELS

__all__ = ["SIMULATED", "Memory", "Timing", "cycles"]

_START = 9  # clocks to the first record, which is read alone, besides the memory's own
_FETCH = 2  # clocks of a record
_QUEUE = 16  # records that wait for each unit
_LOADS = 8  # LOADs whose words are awaited
_BUFFER = 512  # words of weights that are read ahead
_TAKEN = 7  # clocks from a pass's first slot to the first weight of the next set
_BEGIN = 3  # clocks from a counter, or from the last weight, to the first slot
_PIPELINE = 16  # clocks from a slot to its sum, besides those of the chains
_WRITTEN = 3  # clocks from a word that was read to its place
_PARAMETERS = 2  # clocks before a DRAIN's first sum, besides one for the parameters of each lane
_GROUP = 2  # clocks from the last sum of a group of lanes to the first one of the next
_STORE = 4  # clocks before the words of each lane of a block, whose address goes ahead of them
_STORED = 13  # clocks from a DRAIN's last sum to its end, besides storing and the memory's own


@dataclass(frozen=True)
class Memory:
    """The memory: clocks from a command to its first word, and words a clock of each port: pixels, weights, results."""

    latency: float = 50
    efficiency: float = 0.9


SIMULATED = Memory(latency=6, efficiency=1)  # cocotbext-axi's, as it answers to `gen.hw.svpe.dma`: without gaps


@dataclass
class Timing:
    """Clocks of a layer, or of a whole program.

    Attributes
    ----------
    name : str
    macs, clocks : int
    share : float
        Of the multiply-accumulates that all cells could have done.
    slots : int
        Clocks in which there was an output position to work on.
    waits : Counter
        Clocks without one: ``gaps`` (of the rasters), ``patterns`` (were changed), ``weights``, ``pixels`` (from
        memory), ``buffers`` (were in use), ``maps`` (were not stored yet), ``drains`` (held the place for sums),
        ``records`` (waited behind others).
    layers : list of Timing
    """

    name: str
    macs: int
    clocks: int = 0
    share: float = 0
    slots: int = 0
    waits: Counter = field(default_factory=Counter)
    layers: list = field(default_factory=list)

    def rate(self, clock_hz):
        """Operations a second, two for each multiply-accumulate."""
        return 2 * self.macs / self.clocks * clock_hz

    def __str__(self):
        waits = ", ".join(f"{name} {clocks / self.clocks:.1%}" for name, clocks in self.waits.most_common() if clocks)
        return f"{self.name}: {self.clocks:,.0f} clocks, {self.share:.1%} of the peak; {waits}"


def cycles(program, shape, memory=None):
    """:class:`Timing` of a program, with ``layers``.

    A layer's clocks are those from the last slot of the layer before to its own; the last one's include storing.

    Parameters
    ----------
    program : gen.svpe.compile.Program
    shape : Shape
    memory : Memory, optional
    """
    array = _Array(shape, memory or Memory())
    layers = [Timing(layer.name, layer.macs) for layer in program.layers]
    ended = 0
    for record, owner in zip(program.records[1:-1], program.owners[1:-1], strict=True):
        array.execute(record, layers[owner] if owner is not None else None)
    for layer, end in zip(layers, array.ends(len(layers), program), strict=True):
        layer.clocks, ended = end - ended, end
    peak = shape.lanes * shape.chains * shape.taps
    whole = Timing("all", sum(layer.macs for layer in layers), ended, layers=layers)
    for layer in layers:
        whole.slots += layer.slots
        whole.waits += layer.waits
    for timing in (whole, *layers):
        timing.share = timing.macs / (peak * timing.clocks)
    return whole


class _Array:
    """The clock up to which each unit is known to work."""

    def __init__(self, shape, memory):
        self.shape, self.memory = shape, memory
        self.clock = _START + 2 * memory.latency  # of the sequencer
        self.queues = {op: deque([0] * _QUEUE, _QUEUE) for op in (Op.LOAD, Op.WEIGHTS, Op.PASS, Op.DRAIN)}
        self.done = {op: [(0, "records")] for op in (Op.LOAD, Op.PASS, Op.DRAIN)}
        self.read = self.pattern = 0
        self.awaited = deque([0] * _LOADS, _LOADS)
        self.sets = deque()  # clocks in which they could be in the buffer, the bus being free
        self.set_read = self.set_begun = self.set_loaded = 0
        self.sets_taken = deque([0] * max(1, _BUFFER // shape.set_words), max(1, _BUFFER // shape.set_words))
        self.slot = self.windows = 0
        self.stored = deque([0] * BLOCKS, BLOCKS)  # the latest blocks

    def words(self, count):
        """Clocks for so many words."""
        return count / self.memory.efficiency

    def execute(self, record, layer):
        """Let the unit of ``record`` have it."""
        self.clock = max(self.clock + _FETCH, self.queues[record.op][0])
        ready = [(self.clock, "records")]
        for op, wanted in zip(self.done, (record.after_loads, record.after_passes, record.after_drains), strict=True):
            if wanted:
                clock, cause = self.done[op][wanted]
                ready.append((clock + _BEGIN, {Op.LOAD: cause, Op.PASS: "buffers", Op.DRAIN: "drains"}[op]))
        {Op.LOAD: self.load, Op.WEIGHTS: self.weights, Op.PASS: self.compute, Op.DRAIN: self.drain}[record.op](
            record.fields, ready, layer)

    def load(self, fields, ready, _):
        begin, cause = max([*ready, (self.awaited[0], "pixels")])
        self.queues[Op.LOAD].append(begin)
        first = begin + self.memory.latency
        if first <= self.read:
            first, cause = self.read, "pixels"
        self.read = first + self.words(fields["rows"] * fields["row_words"])
        self.awaited.append(self.read)
        cause = {"drains": "maps"}.get(cause, cause)
        self.done[Op.LOAD].append((self.read + _WRITTEN, cause))

    def weights(self, fields, ready, _):
        begin = max(ready)[0]
        self.queues[Op.WEIGHTS].append(begin)
        self.sets.extend([begin + self.memory.latency] * (fields["words"] // self.shape.set_words))

    def set(self):
        """Clock in which the next set of weights is loaded."""
        shape = self.shape
        cells, padded = shape.chains * shape.taps, shape.set_words * WORD // shape.word_bits
        begun = max(self.set_begun + _TAKEN, self.set_loaded + padded - cells)
        self.set_read = max(self.set_read, self.sets.popleft(), self.sets_taken[0]) + self.words(shape.set_words)
        self.set_loaded = max(begun + cells, self.set_read)
        self.sets_taken.append(begun)
        return self.set_loaded

    def compute(self, fields, ready, layer):
        pause = (self.shape.taps - 1) * (fields["pattern"] != self.pattern)
        causes = [*ready, (self.set() + _BEGIN, "weights"), (self.slot + pause, "patterns")]
        begin, cause = max(causes)
        self.queues[Op.PASS].append(begin)
        layer.waits[cause] += begin - self.slot
        rows, columns, period = fields["rows"], fields["columns"], fields["period"]
        layer.waits["gaps"] += rows * (period - columns)
        layer.slots += rows * columns
        self.pattern, self.set_begun, self.slot = fields["pattern"], begin, begin + rows * period
        skew = self.shape.taps if self.shape.form == "vpe" else 1
        self.done[Op.PASS].append((self.slot + skew * self.shape.chains + _PIPELINE, "passes"))

    def drain(self, fields, ready, _):
        shape, per_word = self.shape, WORD_PIXELS // (2 if fields.get("raw") else 1)
        words = fields["rows_out"] * -(-fields["columns_out"] // per_word)
        positions = fields["rows_out"] * fields["columns_out"] * fields["kernel"] ** 2
        self.windows = max(max(ready)[0], self.windows) + _PARAMETERS
        begin = self.windows
        for first in range(0, fields["lanes"], shape.drains):
            begin = self.windows = max(self.windows, begin + shape.drains)
            for word in range(0, words, BLOCK_WORDS):
                size = min(BLOCK_WORDS, words - word)
                self.windows = max(self.windows, self.stored[0]) + positions * size / words
                lanes = min(shape.drains, fields["lanes"] - first)
                self.stored.append(max(self.windows, self.stored[-1]) + lanes * (self.words(size) + _STORE))
            self.windows += _GROUP
        self.queues[Op.DRAIN].append(self.windows)
        self.done[Op.DRAIN].append((self.stored[-1] + _STORED + self.memory.latency, "drains"))

    def ends(self, count, program):
        """Last slot of each layer, and what is stored last."""
        passes = iter(self.done[Op.PASS][1:])
        delay = self.done[Op.PASS][-1][0] - self.slot
        ends = [0] * count
        for record, owner in zip(program.records, program.owners, strict=True):
            if record.op == Op.PASS:
                ends[owner] = next(passes)[0] - delay
        ends[-1] = max(ends[-1], self.done[Op.DRAIN][-1][0])
        return ends
