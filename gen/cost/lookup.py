"""What input tables cost."""

from functools import cache
from itertools import combinations

import numpy as np

from ..memory_cost import blocks, in_blocks
from ..resources import Resources
from .control import control

__all__ = ["lookup"]


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


def lookup(layer, simd):
    """Table of a ``layer``, for ``simd`` channels at a time."""
    bits, folds = layer.values.bits, layer.input.channels // simd if len(layer.table) > 1 else 1
    table = blocks(bits, 256 * folds) if in_blocks(bits, 256 * folds) else Resources(
        lut=_table(layer) * folds, ff=bits)
    return table * simd + control("lookup", 1)
