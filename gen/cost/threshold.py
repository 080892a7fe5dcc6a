# amaranth: UnusedElaboratable=no
"""What thresholds, and other ways from sums to activations, cost."""

from functools import cache
from math import ceil

import numpy as np
from amaranth.utils import ceil_log2

from ..hw.lanes import lane_for
from ..hw.rescale import Rescale as RescaleUnit
from ..hw.threshold import Threshold as ThresholdUnit
from ..hw.threshold import in_totals
from ..memory_cost import distinct_columns, rom
from ..resources import Resources
from .control import control
from .streams import skid

__all__ = ["offset", "rescale", "threshold"]


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


def threshold(layer, lanes, conv=None, lane=None):
    """Thresholds alone, or after the ``lane`` of a convolution."""
    source = lane.total(conv) if conv else layer.input.values
    channels, stages = layer.input.channels, max(1, (layer.values.levels - 1).bit_length())
    compared, times = lanes * source.bits * stages, 2 * stages - 1  # registers before and after each comparison
    kept = times * (lanes * source.bits + ceil_log2(channels // lanes) + 1) + lanes * (stages**2 + layer.values.bits)
    memories = _threshold_memories(layer, lanes, conv, lane and lane.gain)
    return memories + Resources(ff=kept) + control("threshold", 1, compared)


@cache
def rescale(layer, lanes, conv=None, gain=1):
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
    return table + each * lanes + control("threshold", 1, 0)


def offset(layer, lane, pe):
    """What turns the totals of a ``lane`` into those of a convolution ``layer``, ``pe`` at a time."""
    offsets = np.array(lane.offsets(layer.weights.reshape(len(layer.weights), -1)))
    total, out = lane.total(layer).bits, layer.output.values.bits
    registers = Resources(ff=pe * total + 1) + skid(pe * out)
    if (offsets == offsets[0]).all():
        # A carry chain adds a constant with inverters only; two or three bits get LUTs.
        added = out - (ceil_log2(int(offsets[0] & -offsets[0]) + 1) - 1)
        return registers + Resources(lut=1 + pe * added * (added <= 3))
    bits, words = int(offsets.max()).bit_length(), offsets.reshape(-1, pe)
    table = rom(pe * bits, len(words), distinct_columns(words, bits))
    return registers + table + control("offset", 1, pe * bits)
