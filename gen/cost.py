# amaranth: UnusedElaboratable=no
"""What the hardware of a layer takes of the chip, from its folding, as Yosys would count it.

Each function prices one kind of unit in :mod:`gen.hw`. What follows from the structure is counted: bits of adders and
registers, inputs of multiplexers, words of memories. The control around it is linear in a few sizes, by the
coefficients that :mod:`gen.calibrate` has fitted to Yosys.
"""

from functools import cache
from itertools import combinations
from math import ceil, lcm

import numpy as np

from .bits import Powers, Values
from .buffers import least_rows
from .hw.lanes import MultiplyLane, ShiftLane, SignLane, lane_for
from .hw.popcount import XnorLane
from .hw.rescale import Rescale as RescaleUnit
from .hw.threshold import Threshold as ThresholdUnit
from .hw.threshold import in_totals
from .memory_cost import blocks, distinct_columns, in_blocks, mux, ram, rom
from .network import Add, Concat, Conv, Lookup, Pool, Rescale, Threshold, TopK
from .resources import Resources

__all__ = ["converters", "cost", "fifo", "fork", "ram", "shell", "units"]

DSP_BITS = 9  # narrower products are made of LUTs
SIGN = 0.55  # LUTs per input bit of a sign lane, up to the adder tree
FAR = 1.35  # LUTs per bit of a shift by 0, 4, 8 or 12

# LUTs, and flip-flops, for each of the sizes that the unit of that name gives to ``_control``.
CONTROL = {
    "window": ((3.75, -0.07, 6.35, 2.31, 2.97, 0.96, 4.38, -1.32, 1.21),
               (8.4, 1.54, 6.74, 0.57, 0.63, 1.03, 2.1, -1.1, -0.61)),
    "matrix": ((11.77, 0.82), (1.37, 0.98)),
    "threshold": ((1.62, 0.67), (2.0, 0.01)),
    "offset": ((2.05, 0.96), (7.26, -0.15)),
    "reduce": ((4.62, 0.91), (4.06, 0.0)),
    "lookup": ((0.0,), (1.0,)),
    "topk": ((4.0, 0.7, 2.1), (1.0, 0.0, 0.0)),
}


_least_rows = cache(least_rows)


def _bits(states):
    """Bits of a counter."""
    return (states - 1).bit_length()


def _tree(terms, bits):
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


def _counter(lane):
    """XNORs and compressors, counted; then adders of what is left."""
    *levels, last = lane.levels
    luts = sum(lane.levels[0]) + sum(3 * (height // 6) for level in levels for height in level)
    final = lane.sum.shape().width
    if max(last) == 1:
        return Resources(lut=luts, ff=sum(map(sum, levels)) + final)
    registers = sum(map(sum, lane.levels)) + final
    if sum(last) <= 6:
        return Resources(lut=luts + final, ff=registers)
    rows = [max(weight for weight, height in enumerate(last) if height > k) + 1 for k in range(max(last))]
    while len(rows) > 1:
        rows = [max(rows[k:k + 2]) + (k + 1 < len(rows)) for k in range(0, len(rows), 2)]
        luts += sum(rows)
    return Resources(lut=luts, ff=registers)


@cache
def _lane(layer, simd):
    """Products of one processing element and their sum; the lane itself."""
    lane = lane_for(layer, simd)
    bits = 4 if isinstance(lane, XnorLane) else lane.word.bits
    match lane:
        case SignLane():
            # The first adders take in the signs of up to three terms.
            signs = SIGN * simd if simd > 3 else 0.8
            cost = Resources(lut=signs * layer.input.values.bits) + _tree(simd, bits)
        case ShiftLane():
            x = lane.values.bits
            cost = Resources(lut=_shifter(x, lane.weights.count), ff=bits + 1) * lane.terms
            cost += _tree(lane.terms, bits + 1)
            cost += Resources(lut=x + 1)  # the first one's sign
        case MultiplyLane():
            x, w = (max(2, Values(values.lo, values.hi).bits) for values in (lane.values, lane.weights))
            dsp = lane.multiplier == "dsp" or (not lane.multiplier and x + w >= DSP_BITS)
            luts = 0 if dsp or bits <= 2 else 1.1 * bits if x + w <= 6 else 1.6 * x * w
            decoder = w * isinstance(lane.weights, Powers)
            cost = Resources(lut=luts + decoder, ff=bits, dsp=dsp) * simd + _tree(simd, bits)
            cost += Resources(lut=-(simd // 2)) * (bits <= 3)  # the narrowest adders need no carries
        case _:
            cost = _counter(lane)
    return cost, lane


def _control(kind, *sizes):
    """Counters, handshakes and the like."""
    return Resources(*(max(0.0, float(np.dot(factors, sizes))) for factors in CONTROL[kind]))


def _window(layer, folding, repeat, flagged, rows):
    image, (height, width), pixels = layer.input, layer.kernel, folding.pixels
    step, left, padded = layer.stride[1], layer.pads[1], any(layer.pads)
    word, groups, banks = folding.simd * image.values.bits, image.channels // folding.simd, pixels * step
    rows = rows or _least_rows(layer)
    depth = max(2, rows * ceil(image.width / banks) * groups)
    columns = [[p * step + t - left for t in range(width)] for p in range(pixels)]
    read = {column % banks: [] for row in columns for column in row}
    for t in range(width):
        for bank in read:
            read[bank].append(next((row[t] // banks for row in columns if row[t] % banks == bank), 0))
    moving = len({tuple(shifts) for shifts in read.values() if len(set(shifts)) > 1})
    sources = [len({column % banks for column in row}) for row in columns]
    inputs = [width if banks > 2 else banks for banks in sources]  # two alternate with the lowest bit of the tap
    counters = (width, height, groups, repeat, layer.output.width // pixels, layer.output.height, groups,
                image.width, banks)
    return (ram(word, depth) * len(read)
            + Resources(lut=word * sum(map(mux, inputs)), ff=pixels * (word + flagged))
            + _control("window", 1, sum(map(_bits, counters)), _bits(rows + 1), _bits(depth) * (height > 1),
                       _bits(depth) * (layer.output.height > 1), _bits(depth) * moving,
                       padded * (_bits(image.height) + _bits(image.width)), padded * pixels, len(read)))


def queue_depth(folds, beats, pixels, latency):
    """Words in the queue of a matrix unit."""
    passes = pixels - 1
    return (folds if passes else 0) + ceil(passes * folds / beats) + latency // beats + 3


def _matrix(layer, folding):
    pe, simd, pixels = folding.pe, folding.simd, folding.pixels
    cost, lane = _lane(layer, simd)
    total, flagged = lane.total(layer).bits, "pad" in lane.signature.members
    folds, beats = len(layer.weights) // pe, layer.fan_in // simd
    depth = queue_depth(folds, beats, pixels, lane.latency + 4)
    weights = rom(pe * simd * layer.weight_values.bits, folds * beats)
    counters = (beats, folds, folds, pixels, folds * beats, depth, depth, depth, depth)
    return ((cost + Resources(lut=total, ff=total)) * (pe * pixels)
            + weights + Resources(ff=pe * simd * layer.weight_values.bits)
            + Resources(ff=2 * pixels * (simd * layer.input.values.bits + flagged) + 3 * (lane.latency + 2))
            + ram(pixels * pe * total, depth, registered=False)
            + Resources(lut=pe * total * mux(pixels), ff=pe * total)
            + _control("matrix", 1, sum(map(_bits, counters))))


@cache
def _threshold_memories(layer, lanes, conv, gain):
    """Threshold memories of ``layer``, after the matrix unit of ``conv`` if there is one."""
    thresholds, source = layer.thresholds, layer.input.values
    if conv:
        lane = lane_for(conv, gain)  # all lanes of the same gain count alike
        thresholds, source = in_totals(thresholds, lane, conv.weights), lane.total(conv)
    unit = ThresholdUnit(thresholds, layer.flip, source=source, values=layer.values, lanes=lanes, file="")
    roms = [rom(len(words[0]) * bits, len(words), distinct_columns(words, bits))
            for stage in range(unit.stages) for words, bits in unit.tables(stage)]
    return sum(roms, Resources())


def _threshold(layer, lanes, conv=None, lane=None):
    """Thresholds alone, or after the ``lane`` of a convolution."""
    source = lane.total(conv) if conv else layer.input.values
    channels, stages = layer.input.channels, max(1, (layer.values.levels - 1).bit_length())
    compared = lanes * source.bits * stages
    kept = compared + stages * _bits(channels // lanes) + lanes * (stages * (stages - 1) // 2 + layer.values.bits)
    memories = _threshold_memories(layer, lanes, conv, lane and lane.gain)
    return memories + Resources(ff=kept) + _control("threshold", 1, compared)


@cache
def _rescale(layer, lanes, conv=None, gain=1):
    """Rescaling alone, or after the lane of a convolution: all of the same ``gain`` count alike."""
    lane = lane_for(conv, gain) if conv else None
    source = lane.total(conv) if conv else layer.input.values
    offsets = np.array(lane.offsets(conv.weights.reshape(len(conv.weights), -1))) if conv else 0
    unit = RescaleUnit(layer.factor * gain, layer.addend + offsets * layer.factor, layer.shift,
                       source=source, values=layer.values, lanes=lanes, file="")
    words = unit.words()
    wide = unit.product.bits + 1
    sizes = [values.bits + (not values.signed) for values in (unit.factors, source)]  # a DSP takes 18 by 27 bits
    dsps = min(ceil(a / 18) * ceil(b / 27) for a, b in (sizes, sizes[::-1]))
    each = Resources(lut=wide + layer.values.bits, ff=2 * wide + unit.addends.bits + layer.values.bits, dsp=dsps)
    if dsps > 1:
        each += Resources(lut=(dsps - 1) * wide / 2)
    elif len(words) > 4:  # Yosys lets the DSP add
        each += Resources(lut=-wide, ff=-unit.addends.bits)
    table = rom(lanes * unit.item_bits, len(words), distinct_columns(words, unit.item_bits))
    return table + each * lanes + _control("threshold", 1, 0)


def _offset(layer, lane, pe):
    offsets = np.array(lane.offsets(layer.weights.reshape(len(layer.weights), -1)))
    total, out = lane.total(layer).bits, layer.output.values.bits
    registers = Resources(ff=pe * (total + out))
    if (offsets == offsets[0]).all():
        # A carry chain adds a constant with inverters only; two or three bits get LUTs.
        added = out - (_bits(int(offsets[0] & -offsets[0]) + 1) - 1)
        return registers + Resources(lut=1 + pe * added * (added <= 3), ff=2)
    bits, words = int(offsets.max()).bit_length(), offsets.reshape(-1, pe)
    table = rom(pe * bits, len(words), distinct_columns(words, bits))
    return registers + table + _control("offset", 1, pe * bits)


def _reduce(layer, simd):
    bits = layer.output.values.bits
    return Resources(ff=2 * simd * bits) + _control("reduce", 1, simd * (2 * bits if bits > 1 else 1))


def _support(function):
    """Inputs that a function, an array of shape (2, 2, ...), depends on."""
    return [axis for axis in range(function.ndim) if not np.array_equal(*np.moveaxis(function, axis, 0))]


def _parts(function, one, other):
    """What two inputs choose from: functions of the others, but constants and inputs themselves, which are free."""
    cofactors = [function.take(i, other).take(j, one) for i in (0, 1) for j in (0, 1)]
    return {part.tobytes() for part in cofactors if len(_support(part)) > 1}


@cache
def _table(layer):
    """LUTs of an input table of one channel: parts of six inputs, which bits may share, and what joins them."""
    codes, parts, joints = layer.values.encode(layer.table[0]), set(), 0
    for bit in range(layer.values.bits):
        function = (codes >> bit & 1).reshape((2,) * 8)
        if len(_support(function)) > 6:
            parts |= min((_parts(function, *pair) for pair in combinations(range(8), 2)), key=lambda p: len(p - parts))
            joints += 1
        else:
            joints += len(_support(function)) > 1
    return len(parts) + joints


def _lookup(layer, simd):
    bits, folds = layer.values.bits, layer.input.channels // simd if len(layer.table) > 1 else 1
    table = blocks(bits, 256 * folds) if in_blocks(bits, 256 * folds) else Resources(
        lut=_table(layer) * folds, ff=bits)
    return table * simd + _control("lookup", 1)


def _topk(layer):
    score, number = layer.input.values.bits, _bits(max(2, layer.input.channels))
    return (Resources(ff=layer.k * (score + number) + number)
            + _control("topk", 1, score + number, (layer.k - 1) * (score + number)))


def shell(bits):
    """AXI interfaces, frame guard and filter, registers; ``bits`` of input arrive in a beat."""
    return Resources(lut=300 + bits, ff=450)


def converters(bits, given, taken):
    """What turns a stream of ``given`` items of ``bits`` into one of ``taken``, by name of the unit."""
    joined, units = lcm(given, taken), {}
    if joined > given:
        units["gather"] = Resources(lut=4, ff=joined * bits + _bits(joined // given) + 1)
    if joined > max(given, taken):
        units["buffer"] = Resources(lut=2, ff=joined * bits + 1)
    if joined > taken:
        parts = joined // taken
        units["split"] = Resources(lut=taken * bits * mux(parts) + _bits(parts), ff=_bits(parts))
    return units


def fork(count):
    """What copies a stream to ``count`` others."""
    return Resources(lut=2 * count, ff=count)


def fifo(width, depth):
    """A queue of ``depth`` words of ``width`` bits."""
    return ram(width, depth) + Resources(lut=5.1 * _bits(depth + 1), ff=4 * _bits(depth + 1) + 1)


def _add(layer, lanes):
    ranges = layer.multiples
    terms = sum(values.bits for values in ranges[1:])
    return Resources(lut=lanes * (terms + len(ranges) - 1) + 3, ff=lanes * layer.output.values.bits + 1)


def _concat(layer, lanes):
    bits, branches = layer.output.values.bits, len(layer.branches)
    counter = _bits(layer.output.channels // lanes)
    return Resources(lut=lanes * bits * mux(branches) + 3 * branches + counter, ff=lanes * bits + 1 + counter)


def _after(layer, threshold, lane, pe):
    """What turns the totals of ``lane`` into the layer's results."""
    match threshold:
        case None:
            return {"offset": _offset(layer, lane, pe)}
        case Rescale():
            return {"rescale": _rescale(threshold, pe, layer, lane.gain)}
    return {"threshold": _threshold(threshold, pe, layer, lane)}


def units(layer, folding, threshold=None, rows=None):
    """What each unit takes that makes up ``layer`` (and the ``threshold`` that shares its folding), by name.

    Its window holds ``rows`` image rows; the fewest with which it works if not given.
    """
    match layer:
        case Conv():
            lane = _lane(layer, folding.simd)[1]
            flagged = layer.padded and layer.pad_value not in layer.input.values
            after = _after(layer, threshold, lane, folding.pe)
            return {"window": _window(layer, folding, len(layer.weights) // folding.pe, flagged, rows),
                    "matrix": _matrix(layer, folding)} | after
        case Pool():
            flagged = any(layer.pads) and layer.kind == "sum" and 0 not in layer.input.values
            return {"window": _window(layer, folding, 1, flagged, rows), "reduce": _reduce(layer, folding.simd)}
        case Threshold():
            return {"threshold": _threshold(layer, folding.simd)}
        case Rescale():
            return {"rescale": _rescale(layer, folding.simd)}
        case Lookup():
            return {"lookup": _lookup(layer, folding.simd)}
        case TopK():
            return {"topk": _topk(layer)}
        case Add():
            return {"add": _add(layer, folding.simd)}
        case Concat():
            return {"concat": _concat(layer, folding.simd)}


def cost(layer, folding, threshold=None, rows=None):
    """Resources of ``layer`` and of the ``threshold`` that shares its folding."""
    return sum(units(layer, folding, threshold, rows).values(), Resources())
