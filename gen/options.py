# amaranth: UnusedElaboratable=no
"""All foldings of each layer, what they cost, and what lies between those of neighbours, as arrays."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from . import cost
from .folding import Folding, Payload, beats, bursts, divisors, gives, limits, takes, taps, work
from .memory_cost import choose, form_cost, forms, label
from .network import Conv, Pool
from .resources import Resources
from .stages import Stage

__all__ = ["BLOCK", "Link", "Options", "link", "options", "pixels", "scores"]

BLOCK = 0.5  # BRAM36: the smallest block memory
WINDOWED = Conv | Pool


@dataclass(eq=False)
class Options:
    """All that a stage can be.

    Attributes
    ----------
    stage : Stage or None
        The stage; None for where pixels come from, and for where scores go.
    foldings : list
        Of each option.
    uses : int array, shape (options, 3)
        LUTs, block memories and DSPs of each; of a window only what does not depend on how many positions come.
    cycles : int array
        Clock cycles a frame that its arithmetic takes.
    puts, taken : list, int array
        What an option's neighbours have to know of it: kinds of outputs, and each option's number among them.
    looks, looking : list, int array
        Likewise of inputs.
    """

    stage: object
    foldings: list
    uses: np.ndarray
    cycles: np.ndarray
    puts: list
    putting: np.ndarray
    looks: list
    looking: np.ndarray


@dataclass(eq=False)
class Link:
    """A stream between two stages.

    Attributes
    ----------
    source, sink : int
        Numbers of the stages.
    uses : int array, shape (outputs, inputs, 3)
        LUTs, block memories and DSPs between each kind of output of the one and each kind of input of the other.
    cycles : array, shape (outputs, inputs)
        Clock cycles a frame that passing takes; infinite where they do not go together.
    """

    source: int
    sink: int
    uses: np.ndarray
    cycles: np.ndarray


def _amounts(resources):
    return resources.lut, round(resources.bram / BLOCK), resources.dsp


def _foldings(stage, room, dsp48e2):
    """All foldings of ``stage`` whose products alone fit; memories as is cheapest; sums in DSPs if they are DSP48E2."""
    layer = stage.layer
    for pe, simd, pixels in product(*map(divisors, limits(layer).values())):
        for width in taps(layer, Folding(pe, simd, pixels)):
            chosen = Folding(pe, simd, pixels, width)
            if isinstance(layer, Conv) and cost.products(layer, chosen).lut > room.lut:
                continue
            yield chosen
            if dsp48e2 and cost.dsp_accumulators(stage, chosen):
                yield replace(chosen, dsp=True)


@cache
def _memories(width, depth):
    """The ways to keep weights of which none is worse than another in all: names, and what each adds to the usual."""
    best = choose(width, depth)
    usual, least, found = form_cost(best, width, registered=True), np.inf, []
    ways = [(form_cost(form, width, registered=True), form) for form, *_ in forms(width, depth)]
    for price, form in sorted(ways, key=lambda way: (way[0].bram, way[0].lut)):
        if price.lut < least:
            least = price.lut
            found.append((label(form) if form != best else "", price + usual * -1))
    return found


@cache
def _window(layer, look, passed):
    """Window of ``layer``, where ``passed`` positions come at a time to a kind of input; a pool's without window."""
    simd, pixels, width, taken = look
    if taken:
        return cost.units(Stage(layer, None, None, ()), Folding(1, simd, pixels), taken)["pool"]
    return sum(cost.window_units(layer, Folding(1, simd, pixels, width), taken=passed).values(), Resources())


def _own(stage, folding):
    """What ``stage`` takes of its own: all but its window, of which only what depends on repetitions counts."""
    layer = stage.layer
    match layer:
        case Conv():
            repeated = sum(cost.window_units(layer, folding, len(layer.weights) // folding.pe).values(), Resources())
            once = _window(layer, (folding.simd, folding.pixels, folding.taps, 0), 1)
            return sum(cost.arithmetic(stage, folding).values(), repeated + once * -1)
        case Pool():
            return Resources() if layer.block else cost.units(stage, folding)["reduce"]
        case _:
            return cost.cost(stage, folding)


def _numbered(kinds):
    """The different ones of ``kinds``, and the number of each among them."""
    found = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    return list(found), np.array([found[kind] for kind in kinds])


def _looks(stage, folding):
    """Kinds of input of ``stage``: channels, positions and kernel columns; what comes, where all depends on that."""
    layer = stage.layer
    blocks = isinstance(layer, Pool) and layer.block
    most = takes(layer, folding)
    taken = sorted({takes(layer, folding, given) for given in divisors(most)}) if blocks else [0]
    return [(folding.simd, folding.pixels, folding.taps, count) for count in taken]


def _puts(stage, folding, taken, forks):
    """Kinds of output: channels and positions at a time, clocks between, positions passed on if that is a choice."""
    put = gives(stage, folding, taken)
    cycles = max(work(stage.layer, folding), beats(stage.layer.input, Payload(folding.simd, taken)) if taken else 0)
    interval = cycles // beats(stage.output, put) if put.pixels > 1 else 0
    return [(put.channels, put.pixels, interval, passed) for passed in (divisors(put.pixels) if forks else [0])]


def options(stage, room, fixed=None, forks=False, dsp48e2=True):
    """The :class:`Options` of ``stage``; ``fixed``, if it is given, is the only folding.

    Where its stream ``forks`` there is one for each number of positions that may be passed on. Of what DSPs there are,
    accumulators are in ``dsp48e2`` alone.
    """
    found, uses = [], []
    for chosen in [fixed] if fixed else _foldings(stage, room, dsp48e2):
        price = _own(stage, chosen)
        ends = [(put, look) for look in _looks(stage, chosen) for put in _puts(stage, chosen, look[-1], forks)]
        kept = [(chosen.memory, Resources())]
        if isinstance(stage.layer, Conv) and not fixed:
            kept = _memories(*cost.weight_memory(stage.layer, chosen))
        for memory, more in kept:
            found += [(replace(chosen, memory=memory), *end) for end in ends]
            uses += [_amounts(price + more)] * len(ends)
    foldings, *kinds = zip(*found, strict=True)
    (puts, putting), (looks, looking) = map(_numbered, kinds)
    return Options(stage, foldings, np.array(uses), np.array([work(stage.layer, folding) for folding in foldings]),
                   puts, putting, looks, looking)


def pixels(network, tensor, stream_bits):
    """The :class:`Options` of the ``network``'s pixels, as its first stage sees them: so many channels at a time."""
    widths = [width for width in divisors(tensor.channels) if width * tensor.values.bits <= stream_bits]
    uses = np.array([_amounts(cost.shell(network, width * tensor.values.bits)) for width in widths])
    kinds = np.arange(len(widths))
    return Options(None, [None] * len(widths), uses, np.zeros(len(widths), int),
                   [(width, 1, 0, 0) for width in widths], kinds, [], kinds * 0)


def scores():
    """The :class:`Options` of where scores go, one at a time: there is one."""
    return Options(None, [None], np.zeros((1, 3)), np.zeros(1, int), [], np.zeros(1, int), [(1, 1, 1, 0)],
                   np.zeros(1, int))


def _passed(put, look, stage):
    """Positions that are passed at a time between kinds of output and input; 0 if they do not go together."""
    _, pixels, _, fixed = put
    simd, wide, taps, taken = look
    room = takes(stage.layer, Folding(1, simd, wide, taps), fixed or pixels) if stage else 1
    return room if room == (fixed or room) and room == (taken or room) else 0


def link(source, sink, tensor, numbers, *, leads=False, charged=True, copies=1):
    """The :class:`Link` of ``tensor`` from the options ``source`` to ``sink``.

    ``leads``: it takes all that comes at a time. ``charged``: what the source has for all ``copies`` of what it gives
    counts here.
    """
    bits, shape = tensor.values.bits, (len(source.puts), len(sink.looks))
    uses, cycles = np.zeros((*shape, 3)), np.full(shape, np.inf)
    joins = sink.stage is not None and sink.stage.joins

    @cache
    def reordered(channels, pixels, interval, passed):
        if not charged:
            return np.zeros(3)
        price = cost.fork(copies, channels * passed * bits) if copies > 1 else Resources()
        if passed < pixels:
            made, given = Payload(channels, pixels), Payload(channels, passed)
            frame = max(interval * beats(tensor, made), beats(tensor, given))
            price += cost.reorder(source.stage, made, given, frame)
        return np.array(_amounts(price))

    @cache
    def converted(channels, taken, passed):
        found = cost.converters(bits, channels, taken, passed).values()
        return np.array(_amounts(sum(found, Resources())))

    @cache
    def seen(look, passed):
        windowed = sink.stage is not None and isinstance(sink.stage.layer, WINDOWED)
        return np.array(_amounts(_window(sink.stage.layer, look, passed))) if windowed else np.zeros(3)

    for a, put in enumerate(source.puts):
        for b, look in enumerate(sink.looks):
            passed = _passed(put, look, sink.stage)
            if not passed or (leads and put[0] != look[0]):
                continue
            uses[a, b] = reordered(*put[:3], passed) + converted(put[0], look[0], passed) + seen(look, passed)
            taking = 0 if joins else beats(tensor, Payload(look[0], passed))
            cycles[a, b] = max(taking, beats(tensor, Payload(put[0], passed))) * bursts(source.stage)
    return Link(*numbers, uses, cycles)
