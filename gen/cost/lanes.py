"""What the lanes of a matrix unit cost: products and their sum."""

from collections import Counter
from functools import cache
from math import ceil

from ..bits import Powers, Values
from ..hw.binary_lane import BinaryLane
from ..hw.lanes import ShiftLane, lane_for
from ..resources import Resources

__all__ = ["lane_cost", "positions", "products", "wired"]

DSP_BITS = 9  # narrower products are made of LUTs
# LUTs of a product by the bits of its factors' codes, the narrower one first; of wider ones 1.6 for each pair of bits.
PRODUCT = {(1, 1): 0, (1, 2): 0, (1, 3): 3.4, (1, 4): 5.3, (1, 5): 7.1, (1, 6): 9.3, (1, 7): 11.3, (2, 2): 2.8,
           (2, 3): 4.8, (2, 4): 7.2, (2, 5): 9.2, (2, 6): 11.4, (3, 3): 7.2, (3, 4): 11, (3, 5): 17.3, (4, 4): 25}
FAR = 1.35  # LUTs per bit of a shift by 0, 4, 8 or 12


def adder_tree(terms, bits):
    """Adder tree: a LUT a bit; registers after every second level and at the end."""
    adders = registers = level = 0
    while terms > 1 or not level:
        adders, terms, level = adders + terms // 2 * (bits + 1), ceil(terms / 2), level + 1
        bits += terms > 0
        registers += terms * bits * (level % 2 == 0 or terms == 1)
    return Resources(lut=adders, ff=registers)


def _shifter(x_bits, powers):
    """LUTs that shift ``x_bits`` by a weight: none of them where there is but one power, which is 1."""
    if powers <= 3:
        return x_bits + powers - 1 if powers > 1 else 1
    return x_bits + 3 + (1 if powers <= 7 else FAR) * (x_bits + powers - 1)


def _row_bits(plan):
    """Bits of each number that is left."""
    added = {k for group, _ in plan.sums for k in group}
    return [len(row) for k, row in enumerate(plan.rows) if k not in added] + [len(weights) for _, weights in plan.sums]


def _compressors(plan):
    """XNORs, counters and adders of a compressor tree, and the registers after each level."""
    last = plan.levels[-1:] if plan.sums else []
    return Resources(lut=plan.luts, ff=sum(map(sum, plan.levels[:-1] + last)) + sum(_row_bits(plan)))


def wired(layer, folding):
    """Whether weights never change, as all are used in every clock."""
    return layer.binary and layer.weights.size == folding.pe * folding.simd * folding.taps


@cache
def lane_cost(layer, simd, taps=1, outside=0, wired=False):
    """Products of one processing element and their sum; the lane itself."""
    lane = lane_for(layer, simd, taps, outside, wired)
    match lane:
        case BinaryLane():
            cost = _compressors(lane.plan)
        case ShiftLane():
            bits, x = lane.word.bits, lane.values.bits
            cost = Resources(lut=_shifter(x, lane.weights.count), ff=bits + 1) * lane.terms
            cost += adder_tree(lane.terms, bits + 1)
            cost += Resources(lut=x + 1)  # the first one's sign
        case _:
            cost = _product(lane) * lane.simd + adder_tree(lane.simd, lane.word.bits) + Resources(lut=1)
    return cost, lane


def _product(lane):
    """A product of a lane that multiplies, and its register."""
    x, w = (max(2, Values(values.lo, values.hi).bits) for values in (lane.values, lane.weights))
    decoder = w * isinstance(lane.weights, Powers)
    if lane.multiplier == "dsp" or (not lane.multiplier and x + w >= DSP_BITS):
        return Resources(lut=decoder, ff=lane.word.bits, dsp=1)
    codes = lane.values.bits, w if decoder else lane.weights.bits
    luts = PRODUCT.get(tuple(sorted(codes)), 1.6 * x * w)
    return Resources(lut=luts + decoder + lane.pads * min(2, w - 1), ff=lane.word.bits)


def positions(layer, pixels, taps):
    """How many positions there are of which so many taps are never in the image: lanes do without them."""
    if taps == 1 or not layer.padded or layer.pad_value in layer.input.values:
        return {0: pixels}
    lefts = [p * layer.stride[1] - layer.pads[1] for p in range(pixels)]
    return Counter(sum(not 0 <= left + t < layer.input.width for t in range(taps)) for left in lefts)


def products(layer, folding):
    """What all lanes take."""
    return _products(layer, folding.simd, folding.pixels, folding.taps, wired(layer, folding)) * folding.pe


@cache
def _products(layer, simd, pixels, taps, wired):
    return sum((lane_cost(layer, simd, taps, outside, wired)[0] * count
                for outside, count in positions(layer, pixels, taps).items()), Resources())
