"""Sums to activations: what the drain computes for each channel, ``(sum * factor + addend) >> shift``, then clipped."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..errors import UserError
from ..network import Rescale, Threshold

__all__ = ["Requantise", "requantised"]

_FACTOR = 1 << 26  # the array multiplies by 27 bits
_RESULT = 1 << 63
_SHIFTS = 48


@dataclass(frozen=True)
class Requantise:
    """What the drain makes of the sums of a layer.

    Parameters
    ----------
    factor, addend, shift : lists of int
        One for each channel.
    high : int
        Clip; the least is 0, or ``-high - 1`` if ``signed``.
    bipolar : bool
        Only the sign counts: +1 from 0 on, -1 below; no clip.
    lo, hi : int
        What comes out.
    """

    factor: list
    addend: list
    shift: list
    high: int
    signed: bool
    bipolar: bool
    lo: int
    hi: int


def requantised(layer, name, bounds, values, scale):
    """How sums become ``values``.

    Parameters
    ----------
    layer : Rescale, Threshold or None
        None: they are stored as they are, whatever their scale.
    name : str
        Of what sums up.
    bounds : int arrays, shape (2, channels)
        Least and greatest sum.
    values : gen.bits.Values
        What comes out.
    scale : int array, shape (channels,)
        What the layer counts a sum for.

    Raises
    ------
    UserError
        The drain cannot compute this; says why, and what would do.
    """
    channels, counted = len(bounds[0]), np.sort(bounds * scale, axis=0).tolist()
    if values.bipolar and isinstance(layer, Threshold):
        sign = np.where(layer.flip, -1, 1) * scale
        addend = np.where(layer.flip, layer.thresholds[:, 0] - 1, -layer.thresholds[:, 0])
        return _fitting(layer, bounds, Requantise(sign.tolist(), addend.tolist(), [0] * channels, 1, True, True, -1, 1))
    signed, high = values.lo < 0, max(values.hi, -values.lo - 1)
    if high > (32767 if signed else 65535):
        raise UserError(f"{layer.name if layer else name}: values from {values.lo} to {values.hi} do not fit the 16 "
                        "bits of memory: quantise them to 16 bits")
    match layer:
        case Rescale():
            parts = layer.factor.tolist(), layer.addend.tolist(), [layer.shift] * channels
        case Threshold():
            least = -high - 1 if signed else 0
            fits = [_affine(layer, k, counted[0][k], counted[1][k], least, high) for k in range(channels)]
            parts = tuple(map(list, zip(*fits, strict=True)))
        case None:
            parts = [1] * channels, [0] * channels, [0] * channels
    if layer:
        parts = [factor * int(k) for factor, k in zip(parts[0], scale, strict=True)], *parts[1:]
    result = _fitting(layer or name, bounds, Requantise(*parts, high, signed, False, values.lo, values.hi))
    if isinstance(layer, Rescale):
        _check_clip(layer, bounds, result)
    return result


def _fitting(layer, bounds, result):
    """``result``, whose numbers the drain has room for."""
    name = getattr(layer, "name", layer)
    for k, (factor, addend, shift) in enumerate(zip(result.factor, result.addend, result.shift, strict=True)):
        reach = max(abs(int(bound[k]) * factor + part) for bound in bounds for part in (addend, 0))
        if not (-_FACTOR <= factor < _FACTOR and max(reach, abs(addend)) < _RESULT and 0 <= shift < 64):
            raise UserError(f"{name}: channel {k} is rescaled by {factor}, {addend} >> {shift}, which the 27-bit "
                            "factor and the 64-bit sum of the array do not hold: use a scale with fewer bits")
    return result


def _check_clip(layer, bounds, result):
    ends = [[(int(bound) * factor + addend) >> shift for bound in pair] for *pair, factor, addend, shift in
            zip(*bounds, result.factor, result.addend, result.shift, strict=True)]
    clip = -result.high - 1 if result.signed else 0
    if (clip != result.lo and min(map(min, ends)) < result.lo) or (result.high != result.hi
                                                                  and max(map(max, ends)) > result.hi):
        raise UserError(f"{layer.name}: the array clips to 0..high or to -high-1..high, not to "
                        f"{result.lo}..{result.hi}: quantise without narrow range and without zero point")


def _affine(layer, channel, least, greatest, clip, high):
    """(factor, addend, shift) that give what the thresholds of a channel do, for every sum that can occur.

    Between the thresholds ``(x * factor + addend) >> shift`` has to be constant: it must have reached the new value
    at each threshold, and not be above the old one just before. Both are linear in factor and addend.
    """
    flip, values = bool(layer.flip[channel]), layer.values
    sign, ends = (-1, (-greatest, -least)) if flip else (1, (least, greatest))
    levels = sorted(1 - int(t) if flip else int(t) for t in layer.thresholds[channel])

    def value(x):
        return values.lo + values.step * sum(t <= x for t in levels)

    steps = [t for t in sorted(set(levels)) if ends[0] < t <= ends[1]]
    reached = [(t, value(t)) for t in steps]
    below = [(t - 1, value(t - 1) + 1) for t in steps]
    if value(ends[0]) != clip:
        reached.append((ends[0], value(ends[0])))
    if value(ends[1]) != high:
        below.append((ends[1], value(ends[1]) + 1))
    if not steps:
        return 0, value(ends[0]), 0
    found = _line(reached, below)
    if found is None:
        raise UserError(f"{layer.name}: the {len(steps)} thresholds of channel {channel} are no even steps within "
                        "0..high or -high-1..high, which is all that the array computes: quantise to two levels, or "
                        "without a nonlinear activation before and without narrow range")
    return sign * found[0], *found[1:]


def _line(reached, below):
    """(factor, addend, shift) with ``x * factor + addend`` at least ``y << shift`` for all reached, less for below."""
    low, high = Fraction(0), None
    for x, y in reached:
        for u, v in below:
            if x == u and y >= v:
                return None
            if x > u:
                low = max(low, Fraction(y - v, x - u))
            elif x < u:
                high = min(Fraction(v - y, u - x), Fraction(v - y, u - x) if high is None else high)
    if high is not None and low >= high:
        return None
    for shift in range(_SHIFTS):
        scale = 1 << shift
        factor = int(low * scale) + 1 if high is None else round((low + high) / 2 * scale)
        least = max(y * scale - factor * x for x, y in reached)
        if 0 < factor < _FACTOR and least <= min(v * scale - factor * u for u, v in below) - 1:
            return factor, least, shift
    return None
