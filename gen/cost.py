"""What a layer takes of the chip: LUTs, flip-flops, block memories, DSP slices, from its folding."""

from math import ceil

from .network import Conv, Lookup, Pool, Threshold
from .resources import Resources

__all__ = ["cost"]

BRAM18 = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))  # (width, depth)
LUT_PER_XNOR = 1.8
LUT_PER_SIGN_BIT = 1.1
LUT_PER_STAGE = 60  # handshakes and counters


def memory(width, depth):
    """A memory with one read port: in LUTs where shallow, in block RAM where deep."""
    if depth <= 1:
        return Resources()
    if depth <= 64:
        return Resources(lut=width * depth / 64, ff=width)
    blocks = min(ceil(width / w) * ceil(depth / d) for w, d in BRAM18)
    return Resources(bram=blocks / 2)


def _lane_luts(layer, simd):
    x, w = layer.input.values, layer.weight_values
    if x.bipolar and w.bipolar:
        return LUT_PER_XNOR * simd
    if w.bipolar:
        return LUT_PER_SIGN_BIT * simd * 2 * (x.bits + 1)
    return simd * (x.bits * w.bits + 1.1 * (x.bits + w.bits))


def _threshold(layer, lanes):
    levels, bits = layer.values.levels - 1, layer.input.values.bits
    words = memory(lanes * levels * bits, layer.input.channels // lanes)
    return words + Resources(lut=lanes * levels * bits / 2, ff=lanes * layer.values.bits)


def _window(layer, simd):
    width, rows = simd * layer.input.values.bits, layer.kernel[0]
    return memory(width, rows * layer.input.width * layer.input.channels // simd)


def _conv(layer, folding, threshold):
    pe, simd, pixels = folding.pe, folding.simd, folding.pixels
    lanes, bits = pe * pixels, layer.output.values.bits
    fan_in = layer.kernel[0] * layer.kernel[1] * layer.input.channels
    total = memory(pe * simd * layer.weight_values.bits,
                   layer.output.channels // pe * (fan_in // simd))
    total += _window(layer, simd * pixels)
    total += Resources(lut=1, ff=1) * (lanes * (_lane_luts(layer, simd) + bits))
    if threshold is not None:
        total += _threshold(threshold, pe)
    return total


def cost(layer, folding, threshold=None):
    """Resources of ``layer`` and of the ``threshold`` that directly follows it."""
    stage = Resources(lut=LUT_PER_STAGE, ff=LUT_PER_STAGE)
    match layer:
        case Conv():
            return stage + _conv(layer, folding, threshold)
        case Pool():
            return stage + _window(layer, folding.simd) + Resources(
                lut=1.5 * folding.simd * layer.output.values.bits, ff=folding.simd * layer.output.values.bits)
        case Threshold():
            return stage + _threshold(layer, folding.simd)
        case Lookup():
            return stage + memory(layer.output.values.bits, 256) * folding.simd
        case _:
            return stage + Resources(lut=4 * layer.input.values.bits, ff=2 * layer.input.values.bits)
