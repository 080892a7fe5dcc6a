"""Which chain does what: kernel rows cut into runs of taps, channels dealt to chains, and the chains' patterns."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .records import PATTERN, pack
from .shape import WORD

__all__ = ["SLOTS", "Chunk", "Mapping"]

SLOTS = 8  # of the shortest pass
_NOWHERE = {"row_low": 1, "row_high": 0}  # a chain without work


@dataclass(frozen=True)
class Chunk:
    """Channels that are loaded together, and the passes that read them.

    Parameters
    ----------
    first, count : int
        Input channels.
    width : int
        Chains that share a channel.
    passes : int
        Each chain works for another kernel row, or part of one, in each.
    """

    first: int
    count: int
    width: int
    passes: int


@lru_cache
def _chunks(channels, items, chains):
    """Chunks with the fewest passes, and among those the fewest, so that pixels are held the fewest times.

    A channel has ``items``, runs of taps. With ``width`` chains for each it takes ``ceil(items / width)`` passes.
    """
    kinds = [(-(-items // width), chains // width, width) for width in range(1, min(items, chains) + 1)]
    best = [((0, 0), None)]
    for left in range(1, channels + 1):
        costs = []
        for kind in kinds:
            (passes, chunks), _ = best[max(0, left - kind[1])]
            costs.append(((passes + kind[0], chunks + 1), kind))
        best.append(min(costs))
    found, left = [], channels
    while left:
        passes, room, width = best[left][1]
        found.append((min(left, room), width, passes))
        left -= found[-1][0]
    found.sort(reverse=True)
    firsts = np.cumsum([0, *(count for count, _, _ in found)]).tolist()
    return tuple(Chunk(first, *sizes) for first, sizes in zip(firsts, found, strict=False))


class Mapping:
    """How the sums of a step are spread over chains and passes.

    Parameters
    ----------
    step : gen.svpe.steps.Step
    shape : Shape

    Attributes
    ----------
    chunks : tuple of Chunk
    passes : list of (chunk's number, number within the chunk)
        Of an output group, in the order of their weights; neighbours share a pattern where they can.
    period : int
        Slots of a row that the rasters need.
    """

    def __init__(self, step, shape):
        self.step, self.shape = step, shape
        _, _, height, width = step.weights.shape
        stride = step.stride[1]
        starts = [(first, taps) for phase in range(min(stride, width))
                  for first, taps in _cut(range(phase, width, stride), shape.taps)]
        self.items = [(row, *run) for row in range(height) for run in starts]
        self.chunks = _chunks(len(step.inputs), len(self.items), shape.chains)
        self.passes = [(k, number) for k, chunk in enumerate(self.chunks)
                       for number in range(chunk.passes)[::-1 if k % 2 else 1]]
        self.rasters = {run: self._raster(*run) for run in starts}
        self.period = max(step.columns, *(raster[2] for raster in self.rasters.values()))

    def _raster(self, first, taps):
        """Base within a row, the pattern's fields and the items needed of a run from kernel column ``first`` on.

        Item ``i`` is pixel ``base + i * stride``; cell t takes item ``j + lead - (cells - 1) + t`` for output j. Runs
        fill a chain's first cells. As few items as can be lie to the left of the image.
        """
        step, cells = self.step, self.shape.taps
        (_, stride), (_, left, *_) = step.stride, step.pads
        outside = -((first - left) // stride)  # outputs whose first tap lies to the left of the row
        ahead = min(max(0, outside), cells - 1)
        inside = (step.width - 1 + left - first) // stride  # tap i: the last output inside, plus i
        fields, needed = {"lead": cells - 1 - ahead, "stride": stride}, 0
        for tap in range(3):
            low, high = max(0, outside - tap), min(step.columns - 1, inside - tap)
            if tap >= taps or low > high:
                low, high = 1, 0
            else:
                needed = max(needed, high + tap - ahead + 1)
            fields |= {f"low{tap}": low, f"high{tap}": high}
        return first - left + ahead * stride, fields, needed

    def slots(self, rows):
        """Slots of each row of a pass over so many rows."""
        return max(self.period, -(-SLOTS // rows))

    def work(self, chunk, number):
        """(channel, kernel row, first kernel column, taps) of each chain in a pass of a chunk, None: no work."""
        found = []
        for chain in range(self.shape.chains):
            channel, part = divmod(chain, chunk.width)
            item = number * chunk.width + part
            busy = channel < chunk.count and item < len(self.items)
            found.append((chunk.first + channel, *self.items[item]) if busy else None)
        return found

    def pattern(self, chunk, number, tile):
        """Pattern of each chain in a pass over ``tile``: bytes."""
        step = self.step
        pitch = -(-step.width // 8) * 8
        top, words = tile.first * step.stride[0] - step.pads[0], []
        for work in self.work(chunk, number):
            if work is None:
                words.append(pack(PATTERN, _NOWHERE))
                continue
            channel, row, *run = work
            base, fields, _ = self.rasters[tuple(run)]
            low = max(0, -((top + row) // step.stride[0]))
            high = min(tile.rows - 1, (step.height - 1 - top - row) // step.stride[0])
            place = {"base": (top + row - tile.input_first) * pitch + base & 0xffff, "pitch": step.stride[0] * pitch,
                     "signed": step.inputs[channel].lo < 0}
            rows = {"row_low": low, "row_high": high} if low <= high else _NOWHERE
            words.append(pack(PATTERN, place | rows | fields))
        return b"".join(word.to_bytes(WORD // 8, "little") for word in words)

    @cached_property
    def _cells(self):
        """Input channel, kernel row and column of every cell, and whether it works: (pass, chain, tap) each."""
        index = np.zeros((3, len(self.passes), self.shape.chains, self.shape.taps), np.int64)
        busy = np.zeros(index.shape[1:], bool)
        for p, (k, number) in enumerate(self.passes):
            for chain, work in enumerate(self.work(self.chunks[k], number)):
                if work:
                    channel, row, first, taps = work
                    columns = first + np.arange(taps) * self.step.stride[1]
                    index[:, p, chain, :taps] = np.broadcast_arrays(channel, row, columns)
                    busy[p, chain, :taps] = True
        return index, busy

    def weights(self, group):
        """Weights of an output group's passes, shape (passes, chains, taps, lanes); 0 where there is no work."""
        index, busy = self._cells
        weights = self.step.weights[group * self.shape.lanes:][:self.shape.lanes]
        found = np.zeros((*busy.shape, self.shape.lanes), weights.dtype)
        found[..., :len(weights)] = np.moveaxis(weights[:, *index] * busy, 0, -1)
        return found


def _cut(columns, size):
    """(first, length) of the pieces of ``columns``, each up to ``size`` long."""
    return [(columns[k], len(columns[k:k + size])) for k in range(0, len(columns), size)]
