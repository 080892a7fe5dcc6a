"""Records in a valid order: LOADs among the others, where they neither come late nor hold them up."""

from bisect import bisect_left
from collections import deque

import numpy as np

from .records import LAYOUTS, Op, Record
from .shape import WORD_PIXELS

__all__ = ["Ring", "Schedule"]

_BEHIND = 1 << 14  # counters are compared modulo 2**16
_QUEUE = 12  # PASSes by which the sequencer is ahead, a few less than it could be
_LOADS = 8  # that are given to their unit before it can begin
_COUNTED = {Op.LOAD: "after_loads", Op.PASS: "after_passes", Op.DRAIN: "after_drains"}


class Ring:
    """Places that are filled one after the other, again and again; each knows how many commands must end first."""

    def __init__(self, size):
        self.size, self.head = size, 0
        self._ended = np.zeros(size, np.int64)

    def take(self, count, step=1):
        """The next ``count`` places, from a multiple of ``step`` on, which do not wrap."""
        start = -(-self.head // step) * step
        if start + count > self.size:
            start = 0
        self.head = start + count
        return start

    def ended(self, start, count):
        """How many commands must have ended before these places are filled anew."""
        return int(self._ended[start:start + count].max())

    def use(self, start, count, commands):
        """The command that makes ``commands`` of them uses these places."""
        self._ended[start:start + count] = commands


class Schedule:
    """Commands as they are added, with what they wait for.

    PASSes, DRAINs and WEIGHTS keep their order, and so do LOADs. Where a LOAD goes between the others is chosen so that
    what it waits for is done by the time the sequencer gets there, which runs ahead of the array by a queue of PASSes:
    a LOAD that waits holds up whatever stands behind it. It goes before what waits for it, at the latest.

    Parameters
    ----------
    shape : Shape
    """

    def __init__(self, shape):
        self.shape = shape
        self.loads = self.passes = self.drains = self.length = 0
        self._loads, self._others = [], []  # (owner, operation, fields, waits), the others behind a position
        self._ends = {Op.PASS: [(0, 0)], Op.DRAIN: [(0, 0)]}  # position behind each, and clocks until it is complete
        self._clocks = [0]  # at which the array gets to each position

    def load(self, owner, after_passes=0, after_drains=0, **fields):
        """Add a LOAD; how many there are then."""
        waits = {"after_passes": after_passes, "after_drains": after_drains}
        self._loads.append((owner, Op.LOAD, fields, waits))
        self.loads += 1
        return self.loads

    def weights(self, owner, position, **fields):
        """Add WEIGHTS before what stands at ``position``."""
        self._others.append((position, 0, (owner, Op.WEIGHTS, fields, {})))

    def compute(self, owner, after_loads=0, after_drains=0, **fields):
        """Add a PASS; how many there are then."""
        self.passes += 1
        clocks = max(fields["rows"] * fields["period"], self.shape.chains * self.shape.taps)
        self._append((owner, Op.PASS, fields, {"after_loads": after_loads, "after_drains": after_drains}), clocks)
        self._ends[Op.PASS].append((self.length, self._clocks[-1]))
        return self.passes

    def drain(self, owner, after_loads=0, after_passes=0, **fields):
        """Add a DRAIN; how many there are then."""
        self.drains += 1
        self._append((owner, Op.DRAIN, fields, {"after_loads": after_loads, "after_passes": after_passes}), 0)
        begin = max(self._ends[Op.PASS][after_passes][1], self._ends[Op.DRAIN][-1][1])
        self._ends[Op.DRAIN].append((self.length, begin + drain_clocks(self.shape, **fields)))
        return self.drains

    def _append(self, command, clocks):
        self._others.append((self.length, 1, command))
        self.length += 1
        self._clocks.append(self._clocks[-1] + clocks)

    def _positions(self):
        """Where each LOAD goes: before the PASS or DRAIN of that number."""
        latest = np.full(len(self._loads), self.length)
        for position, _, (_, _, _, waits) in reversed(self._others):
            if wanted := waits.get("after_loads", 0):
                latest[wanted - 1] = position
        latest = np.minimum.accumulate(latest[::-1])[::-1]
        ahead, found, clock = _Ahead(self._others, self._clocks), 0, 0
        begun = deque([0] * _LOADS, _LOADS)
        for (_, _, fields, waits), last in zip(self._loads, latest.tolist(), strict=True):
            ends = [self._ends[op][waits[f"after_{name}"]] for op, name in ((Op.PASS, "passes"), (Op.DRAIN, "drains"))]
            earliest = max(found, *(position for position, _ in ends))
            begun.append(max(clock, *(end for _, end in ends)))
            clock = begun[-1] + fields["row_words"]
            found = max(earliest, min(last, ahead.position(begun[0])))
            yield found

    def records(self, locate, build):
        """All records, and the owner of each.

        Parameters
        ----------
        locate : callable
            Bytes of an :class:`gen.svpe.image.Address`.
        build : int
            For HEADER.
        """
        found, owners = [Record(Op.HEADER, {"build": build, "records": len(self) + 2})], [None]
        counts = dict.fromkeys(_COUNTED.values(), 0)
        loads = zip(self._positions(), [0.5] * len(self._loads), self._loads, strict=True)
        for _, _, (owner, op, fields, waits) in sorted([*self._others, *loads], key=lambda placed: placed[:2]):
            late = [name for name, wanted in waits.items() if wanted > counts[name]]
            if late:
                raise AssertionError(f"{op.name} waits for what comes behind it: {', '.join(late)}")
            waits = {name: max(wanted, counts[name] - _BEHIND) for name, wanted in waits.items()}
            fields = dict.fromkeys((name for name, _ in LAYOUTS[op]), 0) | fields
            if "address" in fields:
                fields["address"] = locate(fields["address"])
            found.append(Record(op, fields, **waits))
            owners.append(owner)
            if op in _COUNTED:
                counts[_COUNTED[op]] += 1
        return [*found, Record(Op.END, {})], [*owners, None]

    def __len__(self):
        return len(self._loads) + len(self._others)


class _Ahead:
    """Where the sequencer is while the array works, a queue of PASSes ahead of it."""

    def __init__(self, others, clocks):
        passes = [position for position, _, (_, op, _, _) in sorted(others, key=lambda placed: placed[:2])
                  if op == Op.PASS]
        self._passes = passes
        self._clocks = [clocks[position] for position in passes]

    def position(self, clock):
        """The first one that the sequencer reaches when the array has worked for so many clocks."""
        number = bisect_left(self._clocks, clock) + _QUEUE
        return self._passes[number] if number < len(self._passes) else self._passes[-1] + 1


def drain_clocks(shape, *, lanes, rows_out, columns_out, kernel, raw=0, **_):
    """Clocks that a DRAIN takes, about: a window position or a word a clock."""
    words = rows_out * -(-columns_out // (WORD_PIXELS // 2 if raw else WORD_PIXELS))
    return max(-(-lanes // shape.drains) * rows_out * columns_out * kernel**2, lanes * words)
