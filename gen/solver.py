"""Choose every layer's folding: least LUTs for a frame rate, or the highest rate that the board holds."""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import product
from math import ceil, floor

import numpy as np

from .cost import cost
from .errors import TooLarge, UserError
from .folding import Folding, check, cycles, divisors, limits
from .plan import Plan
from .resources import Resources
from .stages import stages

__all__ = ["SHARE", "Space", "solve", "usable"]

SHARE = Resources(lut=0.7, ff=0.7, bram=0.8, dsp=0.8, uram=0.8)  # of a chip: beyond, routing suffers
STREAM_BITS = 512  # widest word that the input stream may have
BLOCK = 0.5  # BRAM36: the smallest block memory


@dataclass(frozen=True, eq=False)
class _Options:
    """All foldings of one layer, as parallel arrays."""

    foldings: list
    costs: list
    cycles: np.ndarray
    lut: np.ndarray
    blocks: np.ndarray

    def front(self, frame_cycles):
        """Numbers of those fast enough of which none is beaten in both LUTs and block memories."""
        fast = np.flatnonzero(self.cycles <= frame_cycles)
        fast = fast[np.lexsort((self.blocks[fast], self.lut[fast]))]
        fewest = np.minimum.accumulate(self.blocks[fast])
        return fast[np.r_[True, fewest[1:] < fewest[:-1]]] if len(fast) else fast


def _options(layer, threshold, fixed, stream_bits):
    sizes = product(*map(divisors, limits(layer).values()))
    foldings = [folding for folding in ([fixed] if fixed else [Folding(*size) for size in sizes])
                if folding.simd * layer.input.values.bits <= stream_bits]
    if not foldings:
        raise UserError(f"folding of {layer.name!r}: simd {fixed.simd} makes the input stream "
                        f"{fixed.simd * layer.input.values.bits} bits wide; {stream_bits} are possible")
    costs = [cost(layer, folding, threshold) for folding in foldings]
    return _Options(foldings, costs, np.array([cycles(layer, folding) for folding in foldings]),
                    np.array([c.lut for c in costs]), np.array([round(c.bram / BLOCK) for c in costs]))


def _choose(options, frame_cycles, blocks):
    """Numbers of the options, one a layer, that need least LUTs with at most ``blocks`` block memories.

    Exact, by dynamic programming over the number of blocks; None where there are too few.
    """
    if blocks < 0:
        return None
    least = np.full(blocks + 1, np.inf)
    least[0] = 0
    picks = []
    for option in options:
        lut, pick = np.full(blocks + 1, np.inf), np.zeros(blocks + 1, np.int64)
        for number in option.front(frame_cycles):
            used = option.blocks[number]
            if used <= blocks:
                total = least[:blocks + 1 - used] + option.lut[number]
                better = total < lut[used:]
                lut[used:][better], pick[used:][better] = total[better], number
        least = lut
        picks.append(pick)
    used = int(np.argmin(least))
    if not np.isfinite(least[used]):
        return None
    numbers = []
    for option, pick in zip(reversed(options), reversed(picks), strict=True):
        numbers.append(int(pick[used]))
        used -= int(option.blocks[numbers[-1]])
    return numbers[::-1]


def usable(budget):
    """What a design may take of a chip that has ``budget``."""
    return Resources(*(amount * share for (_, amount), (_, share)
                       in zip(budget.items(), SHARE.items(), strict=True)))


def _too_large(network, smallest, budget, fixed):
    """Error about all resources that the design with the fewest LUTs, ``smallest``, has too few of."""
    missing, wanted = [], []
    for name, amount in smallest.items():
        limit, share = getattr(usable(budget), name), getattr(SHARE, name)
        if amount > limit:
            missing.append(f"{amount:,.0f} {name.upper()}, {amount - limit:,.0f} more than the {limit:,.0f} "
                           f"that may be used ({share:.0%} of {getattr(budget, name):,.0f})")
            wanted.append(f"{amount / share:,.0f} {name.upper()}")
    given = " with the foldings given" if fixed else ""
    return TooLarge(f"{network.name} is too large for this board{given}: at its slowest it needs "
                    f"{'; '.join(missing)}. A chip with {' and '.join(wanted)} would hold it.")


class Space:
    """All foldings of a network for a chip.

    Parameters
    ----------
    network : Network
    budget : Resources
        What the chip has; of it at most :data:`SHARE` is used.
    clock_hz : float
    fixed : dict, optional
        Foldings that are given, by layer name.

    Raises
    ------
    UserError
        The network does not fit, or a given folding is impossible.
    """

    def __init__(self, network, budget, clock_hz, fixed=None):
        fixed = fixed or {}
        check(network, fixed)
        self.network, self.clock_hz, self.room, self.stages = network, clock_hz, usable(budget), stages(network)
        self.options = [_options(stage.layer, stage.threshold, fixed.get(stage.name), np.inf if number else STREAM_BITS)
                        for number, stage in enumerate(self.stages)]
        # Slower frames leave more to choose from, so that the first frame time that fits is the shortest.
        # Scores leave one at a time: nothing need be faster than that.
        times = np.concatenate([option.cycles for option in self.options]).clip(min=network.output.channels)
        times = np.unique(times)
        shortest = bisect_left(times, True, key=lambda time: self.cheapest(time) is not None)
        if shortest == len(times):
            most = sum(int(option.blocks.max()) for option in self.options)
            raise _too_large(network, self._plan(_choose(self.options, np.inf, most)).cost, budget, fixed)
        self.times = times[shortest:]  # cycles a frame that are possible, ascending

    def _plan(self, numbers):
        return Plan(self.network, None, self.clock_hz, {
            stage.name: option.foldings[number]
            for stage, option, number in zip(self.stages, self.options, numbers, strict=True)})

    def cheapest(self, frame_cycles):
        """Plan of the fewest LUTs that fits with all that is between and around the layers; or None."""
        blocks = floor(self.room.bram / BLOCK)
        while (numbers := _choose(self.options, frame_cycles, blocks)) is not None:
            plan = self._plan(numbers)
            if plan.cost.within(self.room):
                return plan
            if plan.cost.bram <= self.room.bram:
                return None
            blocks -= ceil((plan.cost.bram - self.room.bram) / BLOCK)  # windows hold more than they must alone
        return None


def solve(network, budget, clock_hz, target_fps=None, fixed=None):
    """Foldings of all layers, by name.

    Parameters
    ----------
    network, budget, clock_hz, fixed : object
        As :class:`Space` takes them.
    target_fps : float, optional
        Frames a second to reach with the fewest LUTs. Without it: the highest rate that fits.

    Raises
    ------
    UserError
        The network does not fit, the rate cannot be reached, or a given folding is impossible.
    """
    space = Space(network, budget, clock_hz, fixed)
    time = space.times[0]
    if target_fps:
        if clock_hz / time < target_fps:
            raise UserError(f"{network.name} cannot reach {target_fps:,.0f} frames/s on this board at "
                            f"{clock_hz / 1e6:g} MHz; the highest that fits is {floor(clock_hz / time):,}")
        time = clock_hz / target_fps
    return space.cheapest(time).foldings
