"""What the hardware of a layer takes of the chip, from its folding, as Yosys would count it.

Each module prices one kind of unit in :mod:`gen.hw`. What follows from the structure is counted: bits of adders and
registers, inputs of multiplexers, words of memories. The control around it is linear in a few sizes, by the
coefficients that :mod:`gen.calibrate` has fitted to Yosys.
"""

from ..network import Add, Concat, Conv, Lookup, Pool, Rescale, Threshold, TopK
from ..resources import Resources
from .lanes import products
from .lookup import lookup
from .matrix import arithmetic, dsp_accumulators, matrix_latency, queue_depth, weight_memory
from .pool import block_pool, reduce
from .streams import add, concat, converters, fifo, fork, reorder, reordered, shell, shuffle_depth, topk
from .threshold import rescale, threshold
from .window import window_units

__all__ = ["arithmetic", "converters", "cost", "dsp_accumulators", "fifo", "fork", "matrix_latency", "products",
           "queue_depth", "reorder", "reordered", "shell", "shuffle_depth", "units", "weight_memory", "window_units"]


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
            return {"pool": block_pool(layer, simd, taken)}
        case Pool():
            return window_units(layer, folding, 1, taken, rows) | {"reduce": reduce(layer, simd * folding.pixels)}
        case Threshold():
            return {"threshold": threshold(layer, simd)}
        case Rescale():
            return {"rescale": rescale(layer, simd)}
        case Lookup():
            return {"lookup": lookup(layer, simd)}
        case TopK():
            return {"topk": topk(layer)}
        case Add():
            return {"add": add(layer, simd)}
        case Concat():
            return {"concat": concat(layer, simd)}


def cost(stage, folding, taken=1, rows=None):
    """Resources of ``stage``: the sum of its :func:`units`."""
    return sum(units(stage, folding, taken, rows).values(), Resources())
