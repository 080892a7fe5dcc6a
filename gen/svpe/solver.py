"""Choose an array for a network and a board: the highest rate that fits, or the fewest LUTs for a given one."""

from dataclasses import replace
from itertools import product
from math import gcd, inf

from ..errors import UserError
from ..network import Conv
from ..solver import usable
from .cost import cost
from .fusing import bounds
from .image import Image
from .lowering import lower
from .mapping import Mapping
from .plan import ArrayPlan
from .shape import Shape
from .tiling import tiled

__all__ = ["solve"]

TAPS = {"svpe": (3, 2), "luts": (3, 2, 1), "vpe": (3, 2, 1)}  # cells of a chain, the paper's k; in svpe one shifts
CHAINS = 3, 6, 9, 12, 18, 24, 30, 36, 48, 60, 72, 96  # k for each channel that is an input at a time: the paper's k Pn
LANES = 8, 16, 24, 32, 48, 64, 96, 128  # outputs at a time: the paper's Pm
DRAINS = 8, 16
CHAIN_WORDS = 256, 512, 1024, 2048, 4096
OUT_DEPTH = 256, 512, 1024, 2048, 4096
MARGINS = 1, 0.95, 0.85, 0  # what is tried for a rate until one meets it, as estimates are low; the last is the fastest
SIZES = 8  # how many of the best are looked at more closely
WIDEST_IN_TWO_DSPS = 35  # of a sum, in each multiplication of the drain


def solve(network, board, clock_hz, form="svpe", target_fps=None):
    """The :class:`ArrayPlan` of the highest rate that ``board`` holds, or of the fewest LUTs for ``target_fps``.

    First the number of cells, with memories as large as could help, then for the best of these the memories, by an
    estimate of clocks; of what is left the best by the model of what its program does.

    Raises
    ------
    UserError
        The array cannot compute the network, none is fast enough, or none fits.
    """
    needed = _needed(network, form)
    steps = lower(network, needed, Image())[0]
    room, wanted = usable(board.budget), clock_hz / target_fps if target_fps else 0

    def best(shapes, count, room, limit):
        rated = [(max(clocks, limit), price.lut, price.bram, number, shape) for number, shape in enumerate(shapes)
                 if (price := cost(shape)).within(room) and _placeable(shape, board)
                 and (clocks := _estimate(steps, shape))]
        return [shape for *_, shape in sorted(rated)[:count]]

    for margin in MARGINS:
        limit = margin * wanted
        sizes = best((replace(needed, taps=taps, chains=chains, lanes=lanes, drains=gcd(lanes, max(DRAINS)),
                              chain_words=max(CHAIN_WORDS), out_depth=max(OUT_DEPTH))
                      for taps, chains, lanes in product(TAPS[form], CHAINS, LANES)),
                     SIZES, replace(room, bram=inf), limit)
        shapes = [shape for size in sizes for shape in best((
            replace(size, drains=drains, chain_words=words, out_depth=depth)
            for drains, words, depth in product(DRAINS, CHAIN_WORDS, OUT_DEPTH) if size.lanes % drains == 0),
            1, room, limit)]
        plans = [ArrayPlan(network, board, clock_hz, shape) for shape in shapes]
        if not plans:
            raise UserError(f"{network.name}: no array for {board.device} is large enough for every layer")
        plan = min(plans, key=lambda plan: (max(plan.cycles, wanted), plan.cost.lut))
        if not wanted or plan.cycles <= wanted:
            return plan
    raise UserError(f"{target_fps:g} frames/s: the fastest array that fits {board.device} gives "
                    f"{plan.rate:,.1f} frames/s at {clock_hz / 1e6:g} MHz")


def _placeable(shape, board):
    """Whether there is room for each lane's cascade of DSPs, which cannot go from one column of them to another."""
    length = {"svpe": shape.chains, "luts": 0, "vpe": shape.chains * shape.taps}[shape.form]
    if not length:
        return True
    return shape.lanes <= board.budget.dsp // board.dsp_column * (board.dsp_column // length)


def _needed(network, form):
    """The narrowest arithmetic that computes ``network``; its sizes are those of no array."""
    kinds = {getattr(layer.weight_values, "term", layer.weight_values) for layer in network.walk()
             if isinstance(layer, Conv)}
    bits = 16 if form == "vpe" else max((1 if kind.bipolar else min(5, kind.bits) for kind in kinds), default=1)
    try:
        return _with_bits(network, form, bits)
    except UserError:
        if bits > 1:
            raise
        return _with_bits(network, form, 2)  # where channels are taken one by one, by weights of which most are 0


def _with_bits(network, form, bits):
    """The same, for weights of so many bits."""
    wide = Shape(form=form, bits=bits, pixel_bits=17, acc_bits=48)
    steps = lower(network, wide, Image())[0]
    pixels = max(max(channel.hi, -channel.lo - 1).bit_length() + 1 for step in steps for channel in step.inputs)
    sums = max(int(abs(bounds(step.inputs, step.weights, any(step.pads))).max()).bit_length() + 1 for step in steps)
    narrow = replace(wide, pixel_bits=pixels, chains=max(CHAINS))
    return replace(narrow, acc_bits=max(WIDEST_IN_TWO_DSPS, sums, narrow.sums.bits))


def _estimate(steps, shape):
    """Clocks of a frame, about; None if a layer does not fit."""
    try:
        return sum(tiled(step, Mapping(step, shape), shape).clocks for step in steps)
    except UserError:
        return None
