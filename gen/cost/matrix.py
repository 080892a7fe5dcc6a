"""What a matrix unit costs: lanes, accumulators, weights; and what turns its sums into results."""

from functools import cache
from math import ceil

from amaranth.utils import ceil_log2

from ..folding import whole_rows
from ..hw.accumulator import ADDER_BITS, DspAccumulator, LutAccumulator, TotalAccumulator, Totals
from ..hw.lanes import lane_for
from ..hw.matrix_unit import FAN_OUT, OPERANDS
from ..hw.threshold import in_totals
from ..memory_cost import DEEPEST_AT_ONCE, distinct_columns, form_cost, named, ram, rom
from ..network import Rescale
from ..resources import Resources
from .control import control
from .lanes import lane_cost, positions, products, wired
from .streams import reordered
from .threshold import offset, rescale, threshold
from .window import flagged

__all__ = ["arithmetic", "dsp_accumulators", "matrix_latency", "queue_depth", "weight_memory"]


@cache
def _totals(stage, gain):
    """Totals, and the thresholds that they are compared with; all lanes of the same ``gain`` count alike."""
    return Totals.against(lane_for(stage.layer, gain).total(stage.layer).hi, _limits(stage, gain))


@cache
def _limits(stage, gain):
    """The thresholds, as totals."""
    return in_totals(stage.threshold.thresholds, lane_for(stage.layer, gain), stage.layer.weights)[:, 0]


def dsp_accumulators(stage, folding):
    """Whether two sums of ``stage`` fit a DSP."""
    if not stage.binary:
        return False
    lane = lane_cost(stage.layer, folding.simd, folding.taps)[1]
    row = len(lane.row0)
    return max(_totals(stage, lane.gain).bits, row) + row + 1 <= ADDER_BITS


def weight_memory(layer, folding):
    """Bits of a word, and words, of the memory of weights."""
    width = folding.pe * folding.simd * folding.taps
    return width * layer.weight_values.bits, max(2, layer.weights.size // width)


@cache
def _weights(form, width, words):
    return form_cost(named(form, width, words), width, registered=True)


def queue_depth(beats, latency):
    """Words in the queue of a matrix unit."""
    return latency // beats + 3


def _accumulator(stage, folding):
    """Kind of accumulator."""
    return TotalAccumulator if not stage.binary else DspAccumulator if folding.dsp else LutAccumulator


def _rows_latency(layer, folding):
    """Clocks from the lanes' inputs to the last one's rows."""
    constant = wired(layer, folding)
    return max(lane_cost(layer, folding.simd, folding.taps, outside, constant)[1].latency
               for outside in positions(layer, folding.pixels, folding.taps))


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
        each = bits + min(bits, len(lane.row0))
        sums = Resources(lut=each, ff=each) * count
    return (sums + _starts(stage, lane.gain, folding.pe, bits) if folds > 1 else sums), 1


@cache
def _starts(stage, gain, pe, bits):
    """Memory of the values from which sums begin."""
    codes = _totals(stage, gain).start_codes(_limits(stage, gain)).reshape(-1, pe)
    return rom(pe * bits, len(codes), distinct_columns(codes, bits), len(codes) > DEEPEST_AT_ONCE)


def _matrix(stage, folding):
    layer, (pe, simd, pixels, taps) = stage.layer, (folding.pe, folding.simd, folding.pixels, folding.taps)
    constant, late, latency = wired(layer, folding), 0, _rows_latency(layer, folding)
    lane = lane_cost(layer, simd, taps, 0, constant)[1]
    for outside, count in positions(layer, pixels, taps).items():
        edge = lane_cost(layer, simd, taps, outside, constant)[1]
        late += pe * count * (latency - edge.latency) * sum(len(getattr(edge, row)) for row in edge.rows)
    sums, result = _accumulators(stage, folding, lane)
    folds, beats = len(layer.weights) // pe, layer.fan_in // (simd * taps)
    depth = queue_depth(beats, matrix_latency(stage, folding))
    rows = whole_rows(layer, folding)
    operands = (layer.input.width if rows else pixels * taps) * simd * layer.input.values.bits
    weights = Resources() if constant else _weights(folding.memory, *weight_memory(layer, folding))
    delayed = 3 + flagged(layer) * (1 if rows else pixels)  # folds are delayed in shift registers of LUTs
    copies = operands * (1 + ceil(pe / FAN_OUT)) + 2 * ceil(pe * pixels / (FAN_OUT << folding.dsp))
    counters = (beats, folds, folds * beats, depth, depth, depth, depth)
    return (products(layer, folding) + sums + weights + ram(pixels * pe * result, depth, registered=False)
            + Resources(ff=late + copies + pixels * pe * result + delayed * (latency + OPERANDS))
            + control("matrix", 1, sum(map(ceil_log2, counters))))


def _after(layer, function, lane, pe):
    """What turns the totals of ``lane`` into the layer's results."""
    match function:
        case None:
            return {"offset": offset(layer, lane, pe)}
        case Rescale():
            return {"rescale": rescale(function, pe, layer, lane.gain)}
    return {"threshold": threshold(function, pe, layer, lane)}


def arithmetic(stage, folding):
    """Units of a convolution after its window."""
    layer, lane = stage.layer, lane_cost(stage.layer, folding.simd, folding.taps)[1]
    found = {"matrix": _matrix(stage, folding)}
    if stage.binary:
        return found
    if folding.pixels > 1:
        folds, interval = len(layer.weights) // folding.pe, layer.fan_in // (folding.simd * folding.taps)
        found["reorder"] = reordered(folding.pe * lane.total(layer).bits, folding.pixels, 1, folds, interval)
    return found | _after(layer, stage.threshold, lane, folding.pe)
