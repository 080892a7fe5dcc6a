# amaranth: UnusedElaboratable=no
"""What the hardware of a layer takes of the chip, from its folding, as Yosys would count it.

Each function prices one kind of unit in :mod:`gen.hw`. What follows from the structure is counted: bits of adders and
registers, inputs of multiplexers, words of memories. The control around it is linear in a few sizes, by the
coefficients that :mod:`gen.calibrate` has fitted to Yosys.
"""

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import combinations
from math import ceil, lcm

import numpy as np

from .bits import Powers, Values
from .buffers import least_rows
from .folding import beats, whole_rows, whole_windows
from .hw.accumulator import ADDER_BITS, DspAccumulator, LutAccumulator, TotalAccumulator, Totals
from .hw.binary_lane import BinaryLane
from .hw.lanes import ShiftLane, lane_for
from .hw.matrix_unit import FAN_OUT, OPERANDS
from .hw.pool import REGISTERS
from .hw.rescale import Rescale as RescaleUnit
from .hw.threshold import Threshold as ThresholdUnit
from .hw.threshold import in_totals
from .memory_cost import DEEPEST_AT_ONCE, blocks, distinct_columns, form_cost, in_blocks, mux, named, ram, rom
from .network import Add, Concat, Conv, Lookup, Pool, Rescale, Threshold, TopK
from .resources import Resources

__all__ = ["arithmetic", "converters", "cost", "dsp_accumulators", "fifo", "fork", "matrix_latency", "products",
           "queue_depth", "ram", "reorder", "reordered", "shell", "shuffle_depth", "units", "weight_memory",
           "window_units"]

DSP_BITS = 9  # narrower products are made of LUTs
FAR = 1.35  # LUTs per bit of a shift by 0, 4, 8 or 12

# LUTs, and flip-flops, for each of the sizes that the unit of that name gives to ``_control``.
CONTROL = {
    "window": ((13.38, 2.79, 4.38, 3.16, -0.78, 0.89, -0.02, 2.93, 0.97),
               (7.89, 3.04, 10.8, 1.66, -1.17, 0.76, 0.57, -2.61, 1.93)),
    "rows": ((4.0, 1.46, 12.01), (1.94, 2.12, 5.83)),
    "matrix": ((-4.7, 1.74), (-6.7, 1.37)),
    "reorder": ((11.8, 1.07), (8.97, 1.14)),
    "threshold": ((9.33, 0.62), (1.86, -0.06)),
    "offset": ((-2.54, 1.31), (1.62, 0.08)),
    "pool": ((-8.73, 2.5), (-16.63, 2.91)),
    "reduce": ((8.16, 1.0), (6.57, -0.01)),
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


def _rows(plan):
    """Bits of each number that is left."""
    added = {k for group, _ in plan.sums for k in group}
    return [len(row) for k, row in enumerate(plan.rows) if k not in added] + [len(weights) for _, weights in plan.sums]


def _compressors(plan):
    """XNORs, counters and adders of a compressor tree, and the registers after each level."""
    last = plan.levels[-1:] if plan.sums else []
    return Resources(lut=plan.luts, ff=sum(map(sum, plan.levels[:-1] + last)) + sum(_rows(plan)))


def _wired(layer, folding):
    """Whether weights never change, as all are used in every clock."""
    return layer.binary and layer.weights.size == folding.pe * folding.simd * folding.taps


@cache
def _lane(layer, simd, taps=1, outside=0, wired=False):
    """Products of one processing element and their sum; the lane itself."""
    lane = lane_for(layer, simd, taps, outside, wired)
    match lane:
        case BinaryLane():
            cost = _compressors(lane.plan)
        case ShiftLane():
            bits, x = lane.word.bits, lane.values.bits
            cost = Resources(lut=_shifter(x, lane.weights.count), ff=bits + 1) * lane.terms
            cost += _tree(lane.terms, bits + 1)
            cost += Resources(lut=x + 1)  # the first one's sign
        case _:
            bits = lane.word.bits
            x, w = (max(2, Values(values.lo, values.hi).bits) for values in (lane.values, lane.weights))
            dsp = lane.multiplier == "dsp" or (not lane.multiplier and x + w >= DSP_BITS)
            luts = 0 if dsp or bits <= 2 else 1.1 * bits if x + w <= 6 else 1.6 * x * w
            decoder = w * isinstance(lane.weights, Powers)
            cost = Resources(lut=luts + decoder, ff=bits, dsp=dsp) * lane.simd + _tree(lane.simd, bits)
    return cost, lane


def _control(kind, *sizes):
    """Counters, handshakes and the like."""
    return Resources(*(max(0.0, float(np.dot(factors, sizes))) for factors in CONTROL[kind]))


@cache
def _recoded(layer):
    """``layer`` as its window sees it, and LUTs a number that recode its input: a signed one's sign, or all bits."""
    values = layer.input.values
    if isinstance(layer, Pool):
        return layer, 0
    wide = values
    if layer.padded and layer.pad_value != 0 and layer.pad_value not in values:
        wide = Values(min(values.lo, layer.pad_value), max(values.hi, layer.pad_value))
    if wide != values:
        return replace(layer, input=replace(layer.input, values=wide)), wide.bits
    return layer, int(layer.binary and values.signed)


def _flagged(layer):
    """Whether windows flag what lies outside the image."""
    pool = isinstance(layer, Pool)
    return any(layer.pads) and (layer.kind == "sum" if pool else True) and (
        0 if pool else layer.pad_value) not in layer.input.values


def _row_window(layer, simd, _pixels, repeat, given, rows):
    image, height = layer.input, layer.kernel[0]
    word, groups, memories = simd * image.values.bits, image.channels // simd, image.width // given
    depth = max(2, (rows - 1 << _bits(groups)) + groups)
    padded, flagged = any(layer.pads[::2]), _flagged(layer)
    counters = (groups, memories, rows, height, groups, repeat, layer.output.height, rows)
    return (ram(given * word, depth) * memories
            + Resources(ff=image.width * word * (padded and not flagged))
            + _control("rows", 1, sum(map(_bits, counters)), _bits(rows + 1)))


def _column_window(layer, simd, pixels, repeat, given, rows):
    image, (height, width) = layer.input, layer.kernel
    step, left, padded = layer.stride[1], layer.pads[1], any(layer.pads)
    word, groups, banks = simd * image.values.bits, image.channels // simd, pixels * step
    depth = max(2, rows * ceil(image.width / banks) * groups)
    columns = [[p * step + t - left for t in range(width)] for p in range(pixels)]
    read = {column % banks: [] for row in columns for column in row}
    for t in range(width):
        for bank in read:
            read[bank].append(next((row[t] // banks for row in columns if row[t] % banks == bank), 0))
    alike = all(len({tuple(read.get(k + j, ())) for j in range(given)}) == 1 for k in range(0, banks, given))
    joined = given if alike else 1
    moving = len({tuple(shifts) for shifts in read.values() if len(set(shifts)) > 1})
    sources = [len({column % banks for column in row}) for row in columns]
    inputs = [width if banks > 2 else banks for banks in sources]  # two alternate with the lowest bit of the tap
    counters = (width, height, groups, repeat, layer.output.width // pixels, layer.output.height, groups,
                image.width // given, banks // given)
    return (ram(joined * word, depth) * (len(read) / joined)
            + Resources(lut=word * sum(map(mux, inputs)), ff=pixels * (word + _flagged(layer)))
            + _control("window", 1, sum(map(_bits, counters)), _bits(rows + 1), _bits(depth) * (height > 1),
                       _bits(depth) * (layer.output.height > 1), _bits(depth) * moving,
                       padded * (_bits(image.height) + _bits(image.width)), padded * pixels, len(read) / joined))


def _positions(layer, pixels, taps):
    """How many positions there are of which so many taps are never in the image: lanes do without them."""
    if taps == 1 or not layer.padded or layer.pad_value in layer.input.values:
        return {0: pixels}
    lefts = [p * layer.stride[1] - layer.pads[1] for p in range(pixels)]
    return Counter(sum(not 0 <= left + t < layer.input.width for t in range(taps)) for left in lefts)


@cache
def _totals(stage, gain):
    """Totals, and the thresholds that they are compared with; all lanes of the same ``gain`` count alike."""
    lane = lane_for(stage.layer, gain)
    limits = in_totals(stage.threshold.thresholds, lane, stage.layer.weights)
    return Totals.against(lane.total(stage.layer).hi, limits)


def dsp_accumulators(stage, folding):
    """Whether two sums of ``stage`` fit a DSP."""
    if not stage.binary:
        return False
    lane = _lane(stage.layer, folding.simd, folding.taps)[1]
    row = len(lane.row0)
    return max(_totals(stage, lane.gain).bits, row) + row + 1 <= ADDER_BITS


def weight_memory(layer, folding):
    """Bits of a word, and words, of the memory of weights."""
    width = folding.pe * folding.simd * folding.taps
    return width * layer.weight_values.bits, max(2, layer.weights.size // width)


@cache
def _weights(form, width, words):
    return form_cost(named(form, width, words), width, registered=True)


def products(layer, folding):
    """What all lanes take."""
    return _products(layer, folding.simd, folding.pixels, folding.taps, _wired(layer, folding)) * folding.pe


@cache
def _products(layer, simd, pixels, taps, wired):
    return sum((_lane(layer, simd, taps, outside, wired)[0] * count
                for outside, count in _positions(layer, pixels, taps).items()), Resources())


def queue_depth(beats, latency):
    """Words in the queue of a matrix unit."""
    return latency // beats + 3


def _accumulator(stage, folding):
    """Kind of accumulator."""
    return TotalAccumulator if not stage.binary else DspAccumulator if folding.dsp else LutAccumulator


def _rows_latency(layer, folding):
    """Clocks from the lanes' inputs to the last one's rows."""
    wired = _wired(layer, folding)
    return max(_lane(layer, folding.simd, folding.taps, outside, wired)[1].latency
               for outside in _positions(layer, folding.pixels, folding.taps))


def matrix_latency(stage, folding):
    """Clocks from the last payload of a window to its results in the matrix unit's queue."""
    return OPERANDS + _rows_latency(stage.layer, folding) + _accumulator(stage, folding).latency + 1


def _accumulators(stage, folding, lane):
    """Sums, and start values or none; bits of a result."""
    count, folds = folding.pe * folding.pixels, len(stage.layer.weights) // folding.pe
    if not stage.binary:
        total = lane.total(stage.layer).bits
        return Resources(lut=total, ff=total) * count, total
    totals = _totals(stage, lane.gain)
    if folding.dsp:
        sums, bits = Resources(dsp=ceil(count / 2)), totals.start_bits
    else:
        bits = totals.bits
        rows = [*_rows(lane.plan), 0]
        sums = Resources(lut=bits + min(rows[:2]), ff=bits + min(bits, len(lane.row0))) * count
    starts = rom(folding.pe * bits, folds, registered=folds > DEEPEST_AT_ONCE) if folds > 1 else Resources()
    return sums + starts, 1


def _matrix(stage, folding):
    layer, (pe, simd, pixels, taps) = stage.layer, (folding.pe, folding.simd, folding.pixels, folding.taps)
    wired, late, latency = _wired(layer, folding), 0, _rows_latency(layer, folding)
    lane = _lane(layer, simd, taps, 0, wired)[1]
    for outside, count in _positions(layer, pixels, taps).items():
        edge = _lane(layer, simd, taps, outside, wired)[1]
        late += pe * count * (latency - edge.latency) * sum(len(getattr(edge, row)) for row in edge.rows)
    sums, result = _accumulators(stage, folding, lane)
    folds, beats = len(layer.weights) // pe, layer.fan_in // (simd * taps)
    depth = queue_depth(beats, matrix_latency(stage, folding))
    rows = whole_rows(layer, folding)
    operands = (layer.input.width if rows else pixels * taps) * simd * layer.input.values.bits
    weights = Resources() if wired else _weights(folding.memory, *weight_memory(layer, folding))
    delayed = 3 + _flagged(layer) * (1 if rows else pixels)  # folds are delayed in shift registers of LUTs
    copies = operands * (1 + ceil(pe / FAN_OUT)) + 2 * ceil(pe * pixels / (FAN_OUT << folding.dsp))
    counters = (beats, folds, folds * beats, depth, depth, depth, depth)
    return (products(layer, folding) + sums + weights + ram(pixels * pe * result, depth, registered=False)
            + Resources(ff=late + copies + pixels * pe * result + delayed * (latency + OPERANDS))
            + _control("matrix", 1, sum(map(_bits, counters))))


def shuffle_depth(parts, folds, interval):
    """Words in the queue of a reorder unit."""
    return folds + min(folds, ceil((parts - 1) * folds / interval)) + 2


def reordered(width, pixels, given, folds, interval):
    """What gives all channels of ``given`` of ``pixels`` positions after the other, ``width`` bits a position."""
    parts = pixels // given
    depth = shuffle_depth(parts, folds, interval)
    return (ram(pixels * width, depth, registered=False)
            + Resources(lut=given * width * mux(parts), ff=given * width)
            + _control("reorder", 1, sum(map(_bits, (depth, depth, depth, folds, folds, parts)))))


def reorder(stage, made, given, cycles):
    """What passes on payloads ``given`` of those that ``stage`` puts out, ``made``, in so many cycles a frame."""
    interval = max(1, cycles // beats(stage.output, made))
    return reordered(made.channels * stage.output.values.bits, made.pixels, given.pixels,
                    stage.output.channels // made.channels, interval)


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
    compared, times = lanes * source.bits * stages, 2 * stages - 1  # registers before and after each comparison
    kept = times * (lanes * source.bits + _bits(channels // lanes)) + lanes * (stages**2 + layer.values.bits) + times
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
    registers = Resources(ff=pe * total + 1) + _skid(pe * out)
    if (offsets == offsets[0]).all():
        # A carry chain adds a constant with inverters only; two or three bits get LUTs.
        added = out - (_bits(int(offsets[0] & -offsets[0]) + 1) - 1)
        return registers + Resources(lut=1 + pe * added * (added <= 3))
    bits, words = int(offsets.max()).bit_length(), offsets.reshape(-1, pe)
    table = rom(pe * bits, len(words), distinct_columns(words, bits))
    return registers + table + _control("offset", 1, pe * bits)


def _block_pool(layer, simd, given):
    (height, width), bits = layer.kernel, layer.input.values.bits
    columns, groups = min(given, width), layer.input.channels // simd
    parts = width // columns
    pixels = given // columns if parts == 1 else 1
    items, depth = pixels * simd, layer.output.width // pixels * groups
    run = groups if parts > 1 else depth
    kept = layer.output.values.bits if layer.kind == "sum" else bits
    if height * parts == 1:
        line = Resources()
    elif depth == run <= REGISTERS:
        line = Resources(ff=depth * items * kept)
    else:
        line = ram(items * kept, (depth // run - 1 << _bits(run)) + run)
    held = Resources(lut=items * kept, ff=items * kept) * (parts > 1 and run == 1)
    if layer.kind == "max":
        merged = items * (1 if bits == 1 else 2 * bits * columns)
    else:
        merged = items * kept * columns
    inner = Resources(ff=items * kept + 1) * (columns > 1 and (bits > 1 or layer.kind == "sum"))
    counters = (run, parts, depth // run, height)
    return (line + held + inner + Resources(lut=merged, ff=items * layer.output.values.bits)
            + _control("pool", 1, sum(map(_bits, counters))))


def _reduce(layer, items):
    bits = layer.output.values.bits
    compared = layer.kind == "max" and bits > 1
    return Resources(ff=2 * items * bits) + _control("reduce", 1, items * bits * (1 + compared))


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


def converters(bits, given, taken, pixels=1):
    """What turns ``given`` items of ``bits`` of each of ``pixels`` positions into ``taken``, by name of the unit."""
    joined, units = lcm(given, taken), {}
    if joined > given:
        units["gather"] = Resources(lut=4, ff=(2 * joined - given) * bits * pixels + _bits(joined // given) + 2)
    if joined > max(given, taken):
        units["buffer"] = Resources(lut=2, ff=joined * bits * pixels + 1)
    if joined > taken:
        parts = joined // taken
        units["split"] = Resources(lut=taken * bits * pixels * mux(parts) + _bits(parts), ff=_bits(parts))
    return units


def _skid(bits):
    """Two registers between two streams."""
    return Resources(lut=bits + 2, ff=2 * bits + 2)


def fork(count, bits):
    """What copies a stream of ``bits`` to ``count`` others."""
    return _skid(bits) + Resources(lut=2 * count, ff=count)


def fifo(width, depth):
    """A queue of ``depth`` words of ``width`` bits."""
    return ram(width, depth) + Resources(lut=5.1 * _bits(depth + 1), ff=4 * _bits(depth + 1) + 1)


def _add(layer, lanes):
    ranges = layer.multiples
    terms = sum(values.bits for values in ranges[1:])
    return Resources(lut=lanes * (terms + len(ranges) - 1) + 3) + _skid(lanes * layer.output.values.bits)


def _concat(layer, lanes):
    bits, branches = layer.output.values.bits, len(layer.branches)
    counter = _bits(layer.output.channels // lanes)
    return (Resources(lut=lanes * bits * mux(branches) + 3 * branches + counter, ff=counter + branches)
            + _skid(lanes * bits))


def _after(layer, threshold, lane, pe):
    """What turns the totals of ``lane`` into the layer's results."""
    match threshold:
        case None:
            return {"offset": _offset(layer, lane, pe)}
        case Rescale():
            return {"rescale": _rescale(threshold, pe, layer, lane.gain)}
    return {"threshold": _threshold(threshold, pe, layer, lane)}


def arithmetic(stage, folding):
    """Units of a convolution after its window."""
    layer, lane = stage.layer, _lane(stage.layer, folding.simd, folding.taps)[1]
    found = {"matrix": _matrix(stage, folding)}
    if stage.binary:
        return found
    if folding.pixels > 1:
        folds, interval = len(layer.weights) // folding.pe, layer.fan_in // (folding.simd * folding.taps)
        found["reorder"] = reordered(folding.pe * lane.total(layer).bits, folding.pixels, 1, folds, interval)
    return found | _after(layer, stage.threshold, lane, folding.pe)


def window_units(layer, folding, repeat=1, taken=1, rows=None):
    """What holds the image rows that ``layer`` looks at, and what recodes them, by name of the unit.

    Payloads of ``taken`` positions come, each window is given ``repeat`` times. It holds ``rows`` rows; the fewest with
    which it works if not given.
    """
    wide, recode = _recoded(layer)
    whole, price = whole_windows(layer, folding), _row_window if whole_rows(layer, folding) else _column_window
    found = {"window": price(wide, folding.simd, folding.pixels, 1 if whole else repeat, taken,
                             rows or _least_rows(layer))}
    if whole:
        bits = folding.pixels * folding.simd * wide.input.values.bits
        found["patches"] = _skid(bits) + Resources(
            lut=10, ff=bits * (2 * folding.taps - 1) + _bits(folding.taps) + _bits(repeat) + 1)
    return {"recode": Resources(lut=recode * folding.simd * taken)} | found if recode else found


def units(stage, folding, taken=1, rows=None):
    """What each unit takes that makes up ``stage``, by name.

    Payloads of ``taken`` positions come. Its window holds ``rows`` image rows; the fewest with which it works if not
    given.
    """
    layer, simd = stage.layer, folding.simd
    match layer:
        case Conv():
            repeat = len(layer.weights) // folding.pe
            return window_units(layer, folding, repeat, taken, rows) | arithmetic(stage, folding)
        case Pool() if layer.block:
            return {"pool": _block_pool(layer, simd, taken)}
        case Pool():
            return window_units(layer, folding, 1, taken, rows) | {"reduce": _reduce(layer, simd * folding.pixels)}
        case Threshold():
            return {"threshold": _threshold(layer, simd)}
        case Rescale():
            return {"rescale": _rescale(layer, simd)}
        case Lookup():
            return {"lookup": _lookup(layer, simd)}
        case TopK():
            return {"topk": _topk(layer)}
        case Add():
            return {"add": _add(layer, simd)}
        case Concat():
            return {"concat": _concat(layer, simd)}


def cost(stage, folding, taken=1, rows=None):
    """Resources of ``stage``: the sum of its :func:`units`."""
    return sum(units(stage, folding, taken, rows).values(), Resources())
