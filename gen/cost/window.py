"""What the windows cost that hold the image rows a layer looks at."""

from dataclasses import replace
from functools import cache
from math import ceil

from amaranth.utils import ceil_log2

from ..bits import Values
from ..buffers import least_rows
from ..folding import whole_rows, whole_windows
from ..memory_cost import mux, ram
from ..network import Pool
from ..resources import Resources
from .control import control
from .streams import skid

__all__ = ["flagged", "window_units"]

_least_rows = cache(least_rows)


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


def flagged(layer):
    """Whether windows flag what lies outside the image."""
    pool = isinstance(layer, Pool)
    return any(layer.pads) and (layer.kind == "sum" if pool else True) and (
        0 if pool else layer.pad_value) not in layer.input.values


def _row_window(layer, simd, _pixels, repeat, given, rows):
    image, height = layer.input, layer.kernel[0]
    word, groups, memories = simd * image.values.bits, image.channels // simd, image.width // given
    depth = max(2, (rows - 1 << ceil_log2(groups)) + groups)
    padded = any(layer.pads[::2])
    counters = (groups, memories, rows, height, groups, repeat, layer.output.height, rows)
    return (ram(given * word, depth) * memories
            + Resources(ff=image.width * word * (padded and not flagged(layer)))
            + control("rows", 1, sum(map(ceil_log2, counters)), ceil_log2(rows + 1)))


def _column_window(layer, simd, pixels, repeat, given, rows):
    image, (height, width) = layer.input, layer.kernel
    step, left, padded = layer.stride[1], layer.pads[1], any(layer.pads)
    word, groups, banks = simd * image.values.bits, image.channels // simd, pixels * step
    depth = max(2, rows * ceil(image.width / banks) * groups)
    address = ceil_log2(depth)
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
            + Resources(lut=word * sum(map(mux, inputs)), ff=pixels * (word + flagged(layer)))
            + control("window", 1, sum(map(ceil_log2, counters)), ceil_log2(rows + 1), address * (height > 1),
                      address * (layer.output.height > 1), address * moving,
                      padded * (ceil_log2(image.height) + ceil_log2(image.width)), padded * pixels,
                      len(read) / joined))


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
        found["patches"] = skid(bits) + Resources(
            lut=10, ff=bits * (2 * folding.taps - 1) + ceil_log2(folding.taps) + ceil_log2(repeat) + 1)
    return {"recode": Resources(lut=recode * folding.simd * taken)} | found if recode else found
