"""Integer weights, found in constants."""

from dataclasses import replace

import numpy as np

from ..bits import BIPOLAR, Powers, Values
from .signal import grid_step

__all__ = ["WeightError", "integer_weights", "rounded"]

_MAX_BITS = 8
_MAX_POWERS = 15  # of two: what weights of 5 bits choose from
_MULTIPLIER = 9  # bits of both operands together: beyond, two shifts take less than a multiplier


class WeightError(ValueError):
    """Weights that are not small integers times a scale."""


def integer_weights(constant, activations):
    """Integers, scales and type of weights whose first axis is the outputs.

    Parameters
    ----------
    constant : Constant
        Its declared type and scale count; without them both are found from the numbers.
    activations : Values
        What they multiply. Powers of two need a 0 among those.

    Returns
    -------
    integers : int32 array
        Same shape.
    scale : float64 array, shape (outputs,)
        ``integers * scale`` is what the graph multiplies by.
    values : Values or Powers
        The type: powers of two where these take no more bits than integers, which are at most 8 bits; sums of two
        powers where multipliers would be large.
    """
    rows = constant.array.reshape(len(constant.array), -1).astype(np.float64)
    if not np.isfinite(rows).all():
        raise WeightError("weights that are not finite numbers")
    scale = (
        _found_scale(rows) if constant.scale is None else _declared_scale(constant.scale.reshape(rows.shape))
    )
    integers = np.rint(rows / scale[:, None])
    off = np.abs(integers * scale[:, None] - rows).max(1) > np.abs(rows).max(1) * 2.0**-20
    distinct = np.unique(integers)  # few, of what may be many million
    values = constant.values or _smallest(distinct)
    outside = (distinct < values.lo) | (distinct > values.hi) | ((distinct - values.lo) % values.step != 0)
    if outside.any() or off.any():
        wrong = np.isin(integers, distinct[outside]) | off[:, None]
        example = constant.array.ravel()[int(np.argmax(wrong))]
        raise WeightError(
            f"weights declared as {values}, but {np.count_nonzero(wrong)} are not, {example:g} for one"
        )
    terms = 2 if activations.bits + values.bits >= _MULTIPLIER else 1
    found = Powers.holding(distinct, terms) if 0 in activations and not values.bipolar else None
    if found and found.count <= _MAX_POWERS and (found.terms > 1 or found.bits <= values.bits):
        values = found
    elif found and values.bits > _MAX_BITS:
        raise WeightError(f"weights that are powers of two from 1 to 2^{found.count - 1}, times a scale; at most "
                          f"{_MAX_POWERS} of them can be told apart (5 bits): have them rounded, --powers 5")
    elif values.bits > _MAX_BITS:
        others = "" if 0 in activations else "; powers of two can have more, but not where activations are signs"
        raise WeightError(f"weights of {values.bits} bits; at most {_MAX_BITS} are supported{others}")
    return integers.astype(np.int32).reshape(constant.array.shape), scale, values


def _declared_scale(scales):
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise WeightError("a weight scale that is not a positive number")
    if (scales != scales[:, :1]).any():
        raise WeightError(
            "weight scales that differ within one output; only one for all or one an output is possible"
        )
    return scales[:, 0]


def _found_scale(rows):
    step = _power_step(rows) or grid_step(rows, most=127)
    if step is not None:
        return np.full(len(rows), step)
    steps = [_power_step(row) or grid_step(row, most=127) for row in rows]
    if None in steps:
        raise WeightError(
            f"weights that are not quantised (output {steps.index(None)} holds no small integers times a scale, nor "
            f"up to {_MAX_POWERS} powers of two: {_example(rows[steps.index(None)])}); train with quantised weights "
            "and export the Quant or BipolarQuant nodes, or have them rounded to powers of two of n bits: --powers n"
        )
    return np.array(steps)


def _example(row):
    """The weight that is farthest from a power of two, and the nearest one."""
    nearest = _nearest_powers(row, -np.inf)
    worst = int(np.argmax(np.abs(row - nearest) / np.maximum(np.abs(nearest), 1e-300)))
    return f"the nearest to {row[worst]:g} is {nearest[worst]:g}"


def _nearest_powers(numbers, least):
    """The power of two, 2 ** ``least`` or more, or 0, that is nearest to each number."""
    size = np.abs(numbers)
    power = np.maximum(np.floor(np.log2(np.maximum(size, 1e-300) * 4 / 3)), least)
    return np.sign(numbers) * np.where(size < 2.0 ** (power - 1), 0, 2.0**power)


def rounded(constant, bits):
    """The powers of two of ``bits`` bits (and 0) that are nearest to weights, the largest of them to the largest.

    Weights that are binary, or such powers times a scale, stay as they are.
    """
    largest, count = np.abs(constant.array).max(), 2 ** (bits - 1) - 1
    if not np.isfinite(largest) or not largest:
        return constant
    try:
        *_, values = integer_weights(constant, Values(0, 1))
    except WeightError:
        values = None
    if values and (values.bipolar or (isinstance(values, Powers) and values.terms == 1 and values.count <= count)):
        return constant
    top = np.log2(_nearest_powers(largest.astype(np.float64), -np.inf))
    array = np.clip(_nearest_powers(constant.array.astype(np.float64), top - count + 1), -(2.0**top), 2.0**top)
    return replace(constant, array=array.astype(np.float32), scale=None, values=None)


def _power_step(numbers):
    """The least of ``numbers`` but 0, in size, if the others are powers of two times it; or else None."""
    sizes = np.unique(np.abs(numbers))
    sizes = sizes[sizes > 0]
    ratios = sizes / sizes[:1]
    exact = (np.frexp(ratios)[0] == 0.5).all() and (ratios < 2.0**_MAX_POWERS).all()
    return float(sizes[0]) if sizes.size and exact else None


def _smallest(integers):
    largest = int(np.abs(integers).max())
    if largest <= 1:
        return Values(-1, 1) if (integers == 0).any() else BIPOLAR
    return Values(-(1 << largest.bit_length()), (1 << largest.bit_length()) - 1)
