"""How many image rows each window holds, so that no layer waits for another longer than it must.

All rates are static, so the pipeline is simulated with one token a row: milliseconds for a network, where sizing
buffers by simulating the hardware takes hours. The least rows suffice wherever layers work evenly; a layer that loses
rows (no padding) or pools gives them in bursts, which the next layer must be able to hold. The model errs on the safe
side: in it a layer stops when the next has no room for its row, while in hardware queues take the first of it.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from .folding import beats, cycles
from .network import Conv, Flatten, Pool

__all__ = ["least_rows", "rows", "schedule"]

_FRAMES = 8  # by the second half of them the pace is steady
_LATENCY = 16  # cycles from the last tap of a row until its last result is stored, about
_SLACK = 1.002  # cycles a frame that are close enough to the slowest layer's


def schedule(layer):
    """What a window needs of its input, in rows.

    Returns
    -------
    needs, releases : lists of int
        For each output row: how many rows it needs, of those not yet released, and how many it releases. No row is
        released before it has come, even if it is never looked at.
    """
    image, count, stride = layer.input, layer.output.height, layer.stride[0]
    tops = [y * stride - layer.pads[0] for y in range(count)]
    kept = [min(max(top, 0), image.height) for top in tops] + [image.height]
    releases = [b - a for a, b in pairwise(kept)]
    ends = [min(max(top + layer.kernel[0], 0), image.height) for top in tops]
    return [max(end - first, release) for end, first, release in zip(ends, kept, releases, strict=False)], releases


def least_rows(layer):
    """Rows that an output row needs, and as many as come while it is computed."""
    return max(schedule(layer)[0]) + min(layer.stride[0], layer.input.height)


def rows(network, foldings):
    """Rows that the window of each layer holds, by name: the fewest found that keep up the slowest layer's pace."""
    stages = _stages(network, foldings)
    target = max(cycles(layer, foldings[layer.name]) for layer in network.layers if layer.name in foldings)
    if _pace(stages) > _SLACK * target:
        _run(stages, target)
        for stage, before in zip(stages[1:], stages, strict=False):
            stage.rows = max(stage.rows, stage.occupied(before.started))
        reached = max(_SLACK * target, _pace(stages))
        for stage in stages[1:]:
            _shrink(stages, stage, reached)
    return {stage.name: stage.rows for stage in stages[1:]}


@dataclass
class _Stage:
    """A window and what reads it, or the source of the pixels; times in cycles, rows counted over all frames."""

    name: str
    merged: int  # rows of the stage before that make one row here: more than one after flattening
    storing: int  # cycles to store an input row
    work: float  # cycles for an output row
    needs: list
    releases: list
    rows: int  # that are held
    started: list = field(default_factory=list)  # of output rows
    done: list = field(default_factory=list)
    stored: list = field(default_factory=list)  # of input rows
    freed: list = field(default_factory=list)

    def wanted(self):
        """Input rows, from the very first, that must have come for the next output row, and those free after it."""
        frame, y = divmod(len(self.done), len(self.needs))
        free = frame * sum(self.releases) + sum(self.releases[:y])
        return free + self.needs[y], free + self.releases[y]

    def room(self, row):
        """When input row ``row`` finds room; None while that is not known."""
        earlier = row - self.rows
        return 0 if earlier < 0 else self.freed[earlier] if earlier < len(self.freed) else None

    def occupied(self, given):
        """The most rows that are held at once if input rows come as soon as they are ``given``."""
        starts = given[::self.merged]
        count = self.rows
        while any(self.freed[k - count] > start for k, start in enumerate(starts[:len(self.freed)]) if k >= count):
            count += 1
        return count


def _stages(network, foldings):
    """The source, and every layer with a window, holding the least rows that it can work with."""
    first = next(layer for layer in network.layers if not isinstance(layer, Flatten))
    height = first.input.height
    stages = [_Stage("source", 1, 0, beats(first.input, foldings[first.name].simd) / height, [0] * height,
                     [0] * height, 0)]
    for layer in network.layers:
        if isinstance(layer, Conv | Pool):
            stages.append(_Stage(
                layer.name, len(stages[-1].needs) // layer.input.height,
                beats(layer.input, foldings[layer.name].simd) // layer.input.height,
                cycles(layer, foldings[layer.name]) / layer.output.height, *schedule(layer), least_rows(layer)))
    return stages


def _run(stages, period=None):
    """Simulate some frames; with a ``period``, they start that far apart and windows are never full."""
    for stage in stages:
        stage.started, stage.done, stage.stored, stage.freed = [], [], [], []
    while len(stages[-1].done) < _FRAMES * len(stages[-1].needs):
        for stage, after in zip(stages, [*stages[1:], None], strict=False):
            while len(stage.done) < _FRAMES * len(stage.needs) and _step(stage, after, period):
                pass


def _step(stage, after, period):
    """Compute the next row of ``stage``, if all is known that it depends on."""
    row = len(stage.done)
    wanted, freed = stage.wanted()
    room = 0 if period or after is None else after.room(row // after.merged)
    if wanted > len(stage.stored) or room is None:
        return False
    frame, y = divmod(row, len(stage.needs))
    paced = frame * period if period and stage.name == "source" and y == 0 else 0
    start = max(room, paced, *stage.done[-1:], *stage.stored[wanted - 1:wanted], 0)
    end = start + stage.work
    if after and (row + 1) % after.merged == 0:
        stored = max(end + _LATENCY, room + after.storing, *(t + after.storing for t in after.stored[-1:]), 0)
        after.stored.append(stored)
        end = stored - _LATENCY
    stage.started.append(start)
    stage.done.append(end)
    stage.freed += [end] * (freed - len(stage.freed))
    return True


def _pace(stages):
    """Cycles a frame in steady state."""
    _run(stages)
    done, half = stages[-1].done, _FRAMES // 2
    return (done[-1] - done[-1 - half * len(stages[-1].needs)]) / half


def _shrink(stages, stage, pace):
    """Let ``stage`` hold the fewest rows, by bisection, with which the pipeline keeps its ``pace``."""
    fewest, enough = max(stage.needs) + 1, stage.rows
    while fewest < enough:
        stage.rows = (fewest + enough) // 2
        if _pace(stages) <= pace:
            enough = stage.rows
        else:
            fewest = stage.rows + 1
    stage.rows = enough
