"""What pooling costs."""

from amaranth.utils import ceil_log2

from ..bits import Values
from ..hw.pool import REGISTERS
from ..memory_cost import ram
from ..resources import Resources
from .control import control

__all__ = ["block_pool", "reduce"]

COUNTED = 3  # LUTs to make the sum of bipolar values of how many are 1


def _counted(layer, count):
    """Bits of a sum of so many of the pool's inputs; bipolar ones are counted."""
    values = layer.input.values
    return ceil_log2(count + 1) if values.bipolar else Values(values.lo * count, values.hi * count).bits


def block_pool(layer, simd, given):
    """Pooling of blocks that do not overlap, ``simd`` channels of ``given`` positions at a time."""
    (height, width), bits = layer.kernel, layer.input.values.bits
    columns, groups = min(given, width), layer.input.channels // simd
    parts = width // columns
    pixels = given // columns if parts == 1 else 1
    items, depth = pixels * simd, layer.output.width // pixels * groups
    run = groups if parts > 1 else depth
    kept = _counted(layer, columns * (height * parts - 1)) if layer.kind == "sum" else bits
    if height * parts == 1:
        line = Resources()
    elif depth == run <= REGISTERS:
        line = Resources(ff=depth * items * kept)
    else:
        line = ram(items * kept, (depth // run - 1 << ceil_log2(run)) + run)
    held = Resources(lut=items * kept * (layer.kind == "max"), ff=items * kept) * (parts > 1 and run == 1)
    if layer.kind == "max":
        merged = items * (1 if bits == 1 else 2 * bits * columns)
    else:
        merged = items * (kept * columns + COUNTED * layer.input.values.bipolar)
    inner = Resources(ff=items * kept + 1) * (columns > 1 and (bits > 1 or layer.kind == "sum"))
    counters = (run, parts, depth // run, height)
    return (line + held + inner + Resources(lut=merged, ff=items * layer.output.values.bits)
            + control("pool", 1, sum(map(ceil_log2, counters))))


def reduce(layer, items):
    """What merges the numbers of a pool's window, ``items`` windows and channels at a time."""
    bits = layer.output.values.bits
    compared = layer.kind == "max" and bits > 1
    return Resources(ff=2 * items * bits) + control("reduce", 1, items * bits * (1 + compared))
