"""How many image rows each window holds, and how many pixels the queue of each branch.

All rates are static, so the pipeline is simulated with one token a pixel: seconds for a network of a hundred layers,
where sizing buffers by simulating the hardware takes hours. The least rows suffice wherever layers work evenly; a layer
that loses rows (no padding) or pools gives them in bursts, which the next layer must be able to hold. Where branches
meet, the shorter one has its pixels ready long before the longer one; what it cannot hold stops the pixels for both.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from math import ceil, inf

from .folding import Payload, beats, streams
from .hw.lanes import lane_for
from .network import Conv, Join, Pool, Rescale, Threshold, TopK

__all__ = ["Sizes", "least_rows", "schedule", "sizes"]

_FRAMES = 6  # by the second half of them the pace is steady
_SLACK = 1.002  # cycles a frame that are close enough to the slowest layer's
_WINDOW = 4  # cycles from a row's last pixel to the first tap, and about as many from its last tap until it is freed
_MATRIX = 5  # cycles from a lane's sum to the matrix unit's output
_QUEUE = 2  # cycles from end to end of a queue, and through a join


@dataclass(frozen=True)
class Sizes:
    """Rows that windows hold, by layer; pixels that branches' queues hold, for each branch, by the layer they meet in.

    Attributes
    ----------
    rows : dict of int
    queues : dict of tuple of int
    """

    rows: dict
    queues: dict


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


def sizes(network, foldings):
    """The fewest rows and pixels found with which the network keeps up its slowest layer's pace.

    Parameters
    ----------
    network : gen.network.Network
    foldings : dict of gen.folding.Folding
        By layer name.

    Returns
    -------
    Sizes
    """
    nodes = _nodes(network, foldings)
    target = max(streams(network, foldings).cycles.values())
    if _pace(nodes) > _SLACK * target:
        _enlarge(nodes, target)
    joins = [node for node in nodes if node.queued]
    bound, known = max(_SLACK * target, _pace(nodes)) if joins else inf, {}
    for node in joins:
        _fit_queues(nodes, node, target, bound, known)
    if joins and _pace(nodes) > bound:  # the queues had been tried one join at a time
        _measure(nodes, [edge for node in joins for edge in node.inputs], bound)
    return Sizes({node.name: edge.capacity // edge.row for node in nodes for edge in node.inputs if edge.row},
                 {node.name: tuple(edge.capacity - edge.spare for edge in node.inputs) for node in joins})


@dataclass(eq=False)
class _Edge:
    """Pixels from one node to the next, and what holds them there. Counted over all frames; times in cycles."""

    count: int  # a frame
    needs: list  # of a frame's pixels must have come, for each output pixel of the node that takes them
    frees: list  # have left after it
    storing: float  # cycles that a pixel takes to pass
    latency: int
    capacity: float  # pixels that are held
    row: int = 0  # pixels in a row of the window that holds them
    fewest: int = 1  # with which it can work
    spare: int = 1  # that need no queue: in the unit that they come from, or in the next
    early: int = 0  # pixels that count as gone before the node has put out anything
    pool: object = None  # node of a pool without a window to which they go
    stored: list = field(default_factory=list)
    freed: list = field(default_factory=list)

    def occupied(self):
        """The most pixels that were held at once in the last run."""
        most = left = 0
        for come, time in enumerate(self.stored, 1):
            while left < len(self.freed) and self.freed[left] < time:
                left += 1
            most = max(most, come - left)
        return most


@dataclass(eq=False)
class _Node:
    """The source of the pixels, a window and what reads it, or where branches meet."""

    name: str
    work: list  # cycles for each output pixel of a frame
    start: object = None  # node that gives the layer's input
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    kept: int = 1  # output pixels that wait while others are computed
    held: float = 0  # share of a pixel's work that waits until there is room for the pixel
    queued: bool = False  # whether branches meet here
    keeps: bool = False  # whether it has a queue itself
    given: list = field(default_factory=list)  # when each output pixel left
    free: float = 0  # when the last one was computed

    @property
    def key(self):
        """What its pace depends on."""
        edges = ((e.storing, e.latency, tuple(e.needs), tuple(e.frees), e.capacity) for e in self.inputs)
        return tuple(self.work), self.kept, self.held, tuple(edges)


@dataclass(frozen=True)
class _Path:
    """How a stage's output comes from the last node."""

    node: _Node
    storing: float = 0
    latency: int = 0

    def then(self, passes, latency):
        """The path further through a unit that takes ``passes`` payloads a frame."""
        return _Path(self.node, max(self.storing, passes / len(self.node.work)), self.latency + latency)


def _nodes(network, foldings):
    """The source, and all that holds pixels: windows with the least rows that they can work with, queues unlimited."""
    flow = streams(network, foldings)
    positions = network.input.positions
    source = _Node("source", [beats(network.input, flow.given[None]) / positions] * positions)
    nodes, paths = [source], {None: _Path(source)}
    for stage in flow.stages:
        layer, folding = stage.layer, foldings[stage.name]
        ways = [paths[source].then(beats(tensor, Payload(folding.simd, flow.given[source].pixels)), 0)
                for source, tensor in zip(stage.sources, stage.inputs, strict=True)]
        if not isinstance(layer, Conv | Join | Pool | TopK):
            paths[stage] = ways[0].then(0, _latency(stage))
            continue
        node = _node(stage, folding, flow.cycles[stage], [len(way.node.work) for way in ways])
        node.start = paths[stage.start].node
        for source, way, edge in zip(stage.sources, ways, _edges(layer, node, ways), strict=True):
            if isinstance(layer, Join):  # what is narrower gathers during another branch's turn
                edge.spare = int(flow.given[source].channels >= folding.simd)
            node.inputs.append(edge)
            way.node.outputs.append(edge)
        nodes.append(node)
        paths[stage] = _Path(node).then(beats(stage.output, flow.given[stage]), _latency(stage, folding))
    for node in nodes:
        if len(node.outputs) > 1 or not node.keeps:  # at most one payload waits between such a node and the next
            for edge in node.outputs:
                edge.spare = int(edge.storing <= 1)
    return nodes


def _latency(stage, folding=None):
    """Cycles that a payload takes through the units of a stage, about."""
    layer = stage.layer
    match layer:
        case Conv():
            after = 0 if stage.binary else _requantised(stage.threshold)
            return _WINDOW + lane_for(layer, folding.simd, folding.taps).latency + _MATRIX + after
        case Pool():
            return 2 if layer.block else _WINDOW + 1
        case Join():
            return 1
        case _:
            return _requantised(layer)


def _requantised(layer):
    """Cycles that totals take to become results."""
    match layer:
        case Threshold():
            return 2 * (layer.values.levels - 1).bit_length() + 1
        case Rescale():
            return 4
        case _:
            return 2


def _node(stage, folding, work, counts):
    """Node of a stage that takes ``work`` cycles a frame, whose inputs have ``counts`` pixels a frame."""
    layer = stage.layer
    if isinstance(layer, Join):
        return _Node(layer.name, [work / max(counts)] * max(counts), queued=True)
    count, group = layer.output.positions, folding.pixels
    if isinstance(layer, Pool) and layer.block:
        return _Node(layer.name, [0] * count)
    most, channels = (3, folding.pe) if isinstance(layer, Conv) else (1, folding.simd)  # results that wait
    folds = layer.output.channels // channels
    return _Node(layer.name, ([work / count * group] + [0] * (group - 1)) * (count // group),
                 kept=group * max(1, most // folds), held=max(0, 1 - most / folds), keeps=isinstance(layer, Conv))


def _edges(layer, node, ways):
    """What holds the pixels that come by each of ``ways`` to the node of ``layer``."""
    tokens = len(node.work)
    for way in ways:
        count = len(way.node.work)
        if isinstance(layer, Pool) and layer.block:
            yield _block_edge(layer, way, count, node)
        elif isinstance(layer, Conv | Pool):
            row = count // layer.input.height
            needs, releases = schedule(layer)
            before, width = [0, *accumulate(releases)], layer.output.width
            yield _Edge(count, [(done + need) * row for done, need in zip(before, needs, strict=False)
                                for _ in range(width)],
                        [(before[y + (x == width - 1)]) * row for y in range(layer.output.height)
                         for x in range(width)], way.storing, way.latency, least_rows(layer) * row, row,
                        (max(needs) + 1) * row)
        else:
            capacity = inf if isinstance(layer, Join) else count
            yield _Edge(count, [ceil((k + 1) * count / tokens) for k in range(tokens)],
                        [(k + 1) * count // tokens for k in range(tokens)], way.storing, way.latency, capacity)


def _block_edge(layer, way, count, node):
    """Pixels on their way to a pool without a window, which takes them in as they come, until a block is whole.

    Before the last row of blocks it keeps what they come to, and no pixel waits; in that row none after the next
    block's does until the last block has left.
    """
    (height, width), row = layer.kernel, count // layer.input.height
    share = row / layer.input.width
    last = [ceil(((y * height + height - 1) * layer.input.width + (x + 1) * width) * share)
            for y in range(layer.output.height) for x in range(layer.output.width)]
    last[-1] = count  # what is left over at the end goes with the last block
    block = ceil(width * share)
    gone = [end - block for end in [*last[1:], count + last[0]]]
    return _Edge(count, last, gone, way.storing, way.latency, 2 * block, early=last[0] - block, pool=node)


def _run(nodes, period=0):
    """Simulate some frames, which start ``period`` apart or later."""
    for node in nodes:
        node.given, node.free = [], 0
        for edge in node.inputs:
            edge.stored, edge.freed = [], [0] * edge.early
    while sum(_advance(node, period) for node in nodes):
        pass


def _advance(node, period):
    """Compute all output pixels of ``node`` of which is known all that they depend on; returns whether there were."""
    given, count = node.given, len(node.work)
    before, gap = len(given), max((edge.storing for edge in node.outputs), default=0)
    for k in range(before, _FRAMES * count):
        frame, y = divmod(k, count)
        ready = room = 0  # room: when the pixel may leave, so that there is room when it arrives
        for edge in node.inputs:
            wanted = frame * edge.count + edge.needs[y]
            if wanted > len(edge.stored):
                return len(given) > before
            ready = max(ready, edge.stored[wanted - 1] + _QUEUE * node.queued) if wanted else ready
        for edge, number in _places(node, k):
            earlier = number - edge.capacity
            if earlier >= len(edge.freed):
                return len(given) > before
            if earlier >= 0:
                room = max(room, edge.freed[earlier] - edge.latency)
        if not node.inputs:
            ready = frame * period
        if node.queued:  # pixels pass one after the other
            left = done = max(ready, node.free + node.work[y], room + gap, node.free + gap)
            leaving = done + 1  # when the queue knows
        else:
            done = max(ready, node.free, given[k - node.kept] if k >= node.kept else 0) + node.work[y]
            if node.held and node.work[y]:
                done = max(done, room + node.held * node.work[y])
            left = max(done, room + gap, given[-1] + gap if given else 0)
            leaving = done + _WINDOW * (node.work[0] > 0)  # pools without a window take pixels at once
        node.free = done
        given.append(left)
        for edge in node.inputs:
            edge.freed += [leaving] * (frame * edge.count + edge.frees[y] - len(edge.freed))
        for edge in node.outputs:
            edge.stored.append(left + edge.latency)
    return len(given) > before


def _places(node, number):
    """Edges that must have room for an output pixel of ``node``, and which pixel it is there.

    Of a result of many folds a pool keeps but one fold's: it passes on the others while they come.
    """
    for edge in node.outputs:
        yield edge, number
        if edge.pool and node.held:
            frame, pixel = divmod(number, edge.count)
            block = bisect_right(edge.needs, pixel)
            if pixel >= edge.needs[block] - edge.capacity // 2:
                yield from ((out, frame * len(edge.needs) + block) for out in edge.pool.outputs)


def _pace(nodes):
    """Cycles a frame in steady state; infinite if all wait for one another."""
    _run(nodes)
    given, count, half = nodes[-1].given, len(nodes[-1].work), _FRAMES // 2
    return (given[-1] - given[-1 - half * count]) / half if len(given) == _FRAMES * count else inf


def _enlarge(nodes, target):
    """Give windows the fewest rows with which the network keeps the pace that it can have."""
    windows = [edge for node in nodes for edge in node.inputs if edge.row]
    _measure(nodes, windows, target)
    bound = max(_SLACK * target, _pace(nodes))
    for edge in windows:
        _shrink(nodes, edge, edge.row, edge.fewest, bound)


def _measure(nodes, edges, period):
    """Let ``edges`` hold as much as they come to hold if frames start ``period`` apart and they are never full.

    One row or pixel more, as results may need room before they are complete.
    """
    fewest = [0 if edge.capacity == inf else edge.capacity for edge in edges]
    for edge in edges:
        edge.capacity = inf
    _run(nodes, period)
    for edge, least in zip(edges, fewest, strict=True):
        unit = edge.row or 1
        edge.capacity = max(least, (ceil(edge.occupied() / unit) + 1) * unit)


def _shrink(nodes, edge, unit, fewest, bound):
    """Let ``edge`` hold the fewest pixels, a multiple of ``unit``, by bisection, with which the pace stays."""
    fewest, enough = fewest // unit, int(edge.capacity) // unit
    while fewest < enough:
        middle = (fewest + enough) // 2
        edge.capacity = middle * unit
        if _pace(nodes) <= bound:
            enough = middle
        else:
            fewest = middle + 1
    edge.capacity = enough * unit


def _fit_queues(nodes, join, target, bound, known):
    """Let the branches that meet at ``join`` hold the fewest pixels with which these alone keep the pace.

    What was found for the same branches before is ``known``.
    """
    inside = nodes[nodes.index(join.start) + 1:nodes.index(join) + 1]
    fork, last = join.start, replace(join, outputs=[])
    count = len(fork.work)
    source = _Node("fork", [target / count] * count,
                   outputs=[edge for edge in fork.outputs if any(edge in node.inputs for node in inside)])
    part = [source, *inside[:-1], last]
    origins = {edge: k for k, node in enumerate(part) for edge in node.outputs}
    key = tuple((node.key, tuple(origins.get(edge) for edge in node.inputs)) for node in part)
    if key not in known:
        _measure(part, join.inputs, target)
        for edge in join.inputs:
            _shrink(part, edge, 1, 1, bound)
        known[key] = [edge.capacity for edge in join.inputs]
    for edge, capacity in zip(join.inputs, known[key], strict=True):
        edge.capacity = capacity
