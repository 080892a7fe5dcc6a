"""Choose every layer's folding: least LUTs for a frame rate, or the highest rate that the board holds."""

from bisect import bisect_left
from collections import Counter
from math import ceil, floor

import numpy as np

from .cost import dsp_accumulators, weight_memory
from .errors import TooLarge, UserError
from .folding import check
from .memory_cost import forms, label
from .network import Conv
from .options import BLOCK, link, options, pixels, scores
from .plan import Plan
from .program import Program
from .resources import Resources
from .stages import stages

__all__ = ["SHARE", "Space", "solve", "usable"]

SHARE = Resources(lut=0.7, ff=0.7, bram=0.8, dsp=0.8, uram=0.8)  # of a chip: beyond, routing suffers
STREAM_BITS = 512  # widest word that the input stream may have
RIVALS = 30, 30, 300  # options that the others of a stage are compared with, those of the fewest LUTs, in each round


class _Graph:
    """Stages' options and what lies between them, for frames of so many cycles at most; bad options go.

    Parameters
    ----------
    nodes : list of gen.options.Options
    links : list of gen.options.Link
    frame_cycles : float
    """

    def __init__(self, nodes, links, frame_cycles):
        self.nodes, self.links = nodes, links
        self.alive = [node.cycles <= frame_cycles for node in nodes]
        self.possible = [between.cycles <= frame_cycles for between in links]
        order = range(len(nodes))
        for number, rivals in [(number, rivals) for rivals in RIVALS for number in (*order, *reversed(order))]:
            self._drop_lonely(number)
            if not self.alive[number].any():
                break
            self._drop_beaten(number, rivals)

    def _ends(self, number):
        """For each link of a stage: each option's kind there, uses and possibilities by that kind first, partners."""
        node = self.nodes[number]
        for between, possible in zip(self.links, self.possible, strict=True):
            if between.source == number:
                other = self.nodes[between.sink].looking[self.alive[between.sink]]
                yield node.putting, between.uses, possible, np.unique(other)
            if between.sink == number:
                other = self.nodes[between.source].putting[self.alive[between.source]]
                yield node.looking, between.uses.swapaxes(0, 1), possible.T, np.unique(other)

    def _drop_lonely(self, number):
        """Drop options that no neighbour's option goes together with."""
        for kinds, _, possible, partners in self._ends(number):
            self.alive[number] = self.alive[number] & possible[:, partners].any(1)[kinds]

    def _drop_beaten(self, number, most):
        """Drop options in whose place one of the ``most`` cheapest takes no more of anything, whoever is beside it."""
        uses = self.nodes[number].uses
        left = np.flatnonzero(self.alive[number])
        left = left[np.lexsort(uses[left].T[::-1])]
        rivals = left[:most]
        excess = uses[rivals] - uses[left][:, None]  # what each rival takes more than each option
        for kinds, passing, possible, partners in self._ends(number):
            (present, place), (others, where) = (np.unique(kinds[some], return_inverse=True) for some in (left, rivals))
            costs, rival = (np.where(possible[some][:, partners, None], passing[some][:, partners], np.inf)
                            for some in (present, others))
            with np.errstate(invalid="ignore"):
                more = rival - costs[:, None]  # inf - inf: neither is possible
            excess = excess + np.where(np.isnan(more), -np.inf, more).max(2)[place[:, None], where]
        beaten = (excess <= 1e-9).all(2)
        mutual = np.zeros_like(beaten)
        mutual[:len(rivals)] = beaten[:len(rivals)].T
        beaten &= ~(mutual & (np.arange(len(left))[:, None] <= np.arange(len(rivals))))  # of equals the first stays
        self.alive[number][left[beaten.any(1)]] = False

    def cheapest(self, room):
        """Number of each stage's option, together of the fewest LUTs within ``room``, or None.

        ``room``: LUTs, block memories and DSPs.
        """
        if not all(alive.any() for alive in self.alive):
            return None
        program, picked = Program(room), []
        for node, alive in zip(self.nodes, self.alive, strict=True):
            picked.append(program.add(node.uses[alive], True))
            program.equate(1, picked[-1], 1, np.zeros(len(picked[-1]), int))
        for between, possible in zip(self.links, self.possible, strict=True):
            ends = [(self.nodes[end], self.alive[end], picked[end]) for end in (between.source, between.sink)]
            puts, looks = ends[0][0].putting[ends[0][1]], ends[1][0].looking[ends[1][1]]
            pairs = np.argwhere(possible & np.isin(np.arange(possible.shape[0]), puts)[:, None]
                                & np.isin(np.arange(possible.shape[1]), looks))
            pairing = program.add(between.uses[pairs[:, 0], pairs[:, 1]], False)
            for side, kinds, columns in ((0, puts, ends[0][2]), (1, looks, ends[1][2])):
                present = np.unique(kinds)
                rows = np.searchsorted(present, np.concatenate([kinds, pairs[:, side]]))
                signs = np.repeat([1, -1], [len(kinds), len(pairs)])
                program.equate(0, np.concatenate([columns, pairing]), signs, rows)
        found = program.solve()
        if found is None:
            return None
        return [int(np.flatnonzero(alive)[np.argmax(found[columns])])
                for alive, columns in zip(self.alive, picked, strict=True)]


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


def _check(stage, folding, dsp48e2):
    """Raise :class:`UserError` unless the given ``folding`` suits ``stage``, beyond what :func:`folding.check` says."""
    layer, width = stage.layer, folding.simd * stage.inputs[0].values.bits
    if None in stage.sources and width > STREAM_BITS:
        raise UserError(f"folding of {stage.name!r}: simd {folding.simd} makes the input stream {width} bits wide; "
                        f"{STREAM_BITS} are possible")
    if folding.dsp and not dsp48e2:
        raise UserError(f"folding of {stage.name!r}: this chip's DSPs cannot keep sums, as DSP48E2 of UltraScale and "
                        "UltraScale+ can; dsp has to be false")
    if folding.dsp and not dsp_accumulators(stage, folding):
        raise UserError(f"folding of {stage.name!r}: no two of its sums, thresholds included, fit a DSP")
    if folding.memory:
        names = [label(form) for form, *_ in forms(*weight_memory(layer, folding))] if isinstance(layer, Conv) else []
        if folding.memory not in names:
            raise UserError(f"folding of {stage.name!r}: memory is {folding.memory!r}; "
                            f"possible are {', '.join(map(repr, ['', *names]))}")


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
    dsp48e2 : bool
        Whether the chip's DSPs are DSP48E2, in which accumulators can be.

    Raises
    ------
    UserError
        The network does not fit, or a given folding is impossible.
    """

    def __init__(self, network, budget, clock_hz, fixed=None, dsp48e2=True):
        fixed = fixed or {}
        check(network, fixed)
        self.network, self.clock_hz, self.room, self.stages = network, clock_hz, usable(budget), stages(network)
        self._build(fixed, dsp48e2)
        times = np.concatenate([one.cycles.ravel() for one in self.nodes + self.links])
        # Scores leave one at a time: nothing need be faster than that.
        times = np.unique(times[np.isfinite(times)].clip(min=network.output.channels)).astype(int)
        self._found = {}
        # Slower frames leave more to choose from, so that the first frame time that fits is the shortest.
        shortest = bisect_left(times, True, key=lambda time: self.cheapest(time) is not None)
        if shortest == len(times):
            numbers = _Graph(self.nodes, self.links, np.inf).cheapest((np.inf,) * 3)
            raise _too_large(network, self._plan(numbers).cost, budget, fixed)
        self.times = times[shortest:]  # cycles a frame that are possible, ascending

    def _build(self, fixed, dsp48e2):
        """Options of the pixels' source, of all stages, and of where scores go; what lies between them."""
        copies = Counter(source for stage in self.stages for source in stage.sources)
        scored = self.network.output
        image = next(stage.inputs[stage.sources.index(None)] for stage in self.stages if None in stage.sources)
        nodes = {None: pixels(self.network, image, STREAM_BITS)}
        for stage in self.stages:
            chosen = fixed.get(stage.name)
            if chosen:
                _check(stage, chosen, dsp48e2)
            nodes[stage] = options(stage, self.room, chosen, copies[stage] > 1, dsp48e2)
        numbers, self.nodes, met = {stage: k for k, stage in enumerate(nodes)}, [*nodes.values(), scores()], set()
        self.links = []
        for stage in self.stages:
            for source, tensor in zip(stage.sources, stage.inputs, strict=True):
                first, _ = source not in met, met.add(source)
                self.links.append(link(nodes[source], nodes[stage], tensor, (numbers[source], numbers[stage]),
                                       leads=first and source is None, charged=first, copies=copies[source]))
        last = self.stages[-1]
        self.links.append(link(nodes[last], self.nodes[-1], scored, (numbers[last], len(nodes))))

    def _plan(self, numbers):
        return Plan(self.network, None, self.clock_hz, {
            node.stage.name: node.foldings[number]
            for node, number in zip(self.nodes, numbers, strict=True) if node.stage})

    def cheapest(self, frame_cycles):
        """Plan of the fewest LUTs that fits with all that is between and around the layers; or None."""
        if frame_cycles not in self._found:
            self._found[frame_cycles] = self._cheapest(_Graph(self.nodes, self.links, frame_cycles))
        return self._found[frame_cycles]

    def _cheapest(self, graph):
        blocks = floor(self.room.bram / BLOCK)
        while blocks >= 0 and (numbers := graph.cheapest((self.room.lut, blocks, self.room.dsp))) is not None:
            plan = self._plan(numbers)
            if plan.cost.within(self.room):
                return plan
            if plan.cost.bram <= self.room.bram:
                return None
            blocks -= ceil((plan.cost.bram - self.room.bram) / BLOCK)  # windows hold more than they must alone
        return None


def solve(network, budget, clock_hz, target_fps=None, fixed=None, dsp48e2=True):
    """Foldings of all layers, by name.

    Parameters
    ----------
    network, budget, clock_hz, fixed, dsp48e2 : object
        As :class:`Space` takes them.
    target_fps : float, optional
        Frames a second to reach with the fewest LUTs. Without it: the highest rate that fits.

    Raises
    ------
    UserError
        The network does not fit, the rate cannot be reached, or a given folding is impossible.
    """
    space = Space(network, budget, clock_hz, fixed, dsp48e2)
    time = space.times[0]
    if target_fps:
        if clock_hz / time < target_fps:
            raise UserError(f"{network.name} cannot reach {target_fps:,.0f} frames/s on this board at "
                            f"{clock_hz / 1e6:g} MHz; the highest that fits is {floor(clock_hz / time):,}")
        time = clock_hz / target_fps
    return space.cheapest(time).foldings
