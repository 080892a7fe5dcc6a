"""Quantisers of more bits than can be compared with thresholds: one multiplication and one addition a channel."""

import numpy as np

from ..bits import Values
from ..network import Rescale
from .signal import Signal

__all__ = ["rescaled"]

_OFF = 0.25  # of a step: how far factors of finite length, and float32's own rounding, may be from the graph
_PRODUCT_BITS = 62
_POINTS = 1 << 24  # of all channels together, beyond 1,024 each: memory


def rescaled(names, node, signal, values, scale):
    """Emit the layer that turns the integers of ``signal`` into those of ``values``, each worth ``scale``.

    The graph's floats must be a straight line of each channel's integer, clipped: scale, offset, BatchNormalization,
    Relu and Clip give that. An activation then differs from the graph's, before both are rounded, by ``_OFF`` at most.

    Parameters
    ----------
    names : Names
    node : Node
        The quantiser, for what is said of it.
    signal : Signal
        What it quantises.
    values : Values
        What it puts out; the layer's are those of them that occur.
    scale : float

    Raises
    ------
    UserError
        The floats are no such line, or sums are too long.
    """
    points = signal.samples(max(1 << 10, _POINTS // signal.tensor.channels))
    floats = signal.chain(points).astype(np.float64) / scale
    values = Values(int(np.clip(np.rint(floats.min()), values.lo, values.hi)),
                    int(np.clip(np.rint(floats.max()), values.lo, values.hi)))
    clipped = np.clip(floats, values.lo, values.hi)
    slope, offset, reach = _lines(points, clipped, values)
    shift = int(reach.max()).bit_length() + 2
    factor = np.rint(slope * 2.0**shift).astype(np.int64)
    addend = np.rint((offset + 0.5) * 2.0**shift).astype(np.int64)
    largest = np.abs(signal.bounds).max(0)
    if max(int(x) * abs(int(f)) + abs(int(a)) for x, f, a in zip(largest, factor, addend, strict=True)
           ) >= 1 << _PRODUCT_BITS:
        raise node.error(f"scales sums of up to {int(largest.max()).bit_length()} bits, too long to be multiplied; "
                         "use fewer bits of weights or activations")
    ours = np.clip((points * factor[:, None] + addend[:, None]) * 2.0**-shift - 0.5, values.lo, values.hi)
    off = np.abs(ours - clipped).max(1)
    if off.max() > _OFF:
        channel = int(off.argmax())
        raise node.error(f"channel {channel} is no straight line up to {values.bits} bits (off by {off[channel]:.3g} "
                         "steps); between a product and a quantiser of more than 8 bits only scale, offset, "
                         "BatchNormalization, Relu and Clip are possible")
    layer = Rescale(names.after(signal.layers[-1], "rescale"), signal.tensor, factor, addend, shift, values)
    return Signal.of_integers((*signal.layers, layer), layer.output, scale, view=signal.view)


def _lines(points, floats, values):
    """Slope and offset of each channel's line, and the largest integer, in size, where it is not clipped."""
    inside = (floats > values.lo) & (floats < values.hi)
    inside |= inside.sum(1, keepdims=True) < 2  # a few integers only, none of them clipped, or all
    first, last = inside.argmax(1), inside.shape[1] - 1 - inside[:, ::-1].argmax(1)
    rows = np.arange(len(points))
    run = points[rows, last] - points[rows, first]
    slope = (floats[rows, last] - floats[rows, first]) / np.maximum(run, 1)
    offset = floats[rows, first] - slope * points[rows, first]
    return slope, offset, np.where(inside, np.abs(points), 0).max(1) + 1
