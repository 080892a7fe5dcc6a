"""Integer weights, found in constants."""

import numpy as np

from ..bits import BIPOLAR, Values
from .signal import grid_step

__all__ = ["WeightError", "integer_weights"]

_MAX_BITS = 8


class WeightError(ValueError):
    """Weights that are not small integers times a scale."""


def integer_weights(constant):
    """Integers, scales and type of weights whose first axis is the outputs.

    Parameters
    ----------
    constant : Constant
        Its declared type and scale count; without them both are found from the numbers.

    Returns
    -------
    integers : int32 array
        Same shape.
    scale : float64 array, shape (outputs,)
        ``integers * scale`` is what the graph multiplies by.
    values : Values
        The type, at most 8 bits.
    """
    rows = constant.array.reshape(len(constant.array), -1).astype(np.float64)
    if not np.isfinite(rows).all():
        raise WeightError("weights that are not finite numbers")
    scale = (
        _found_scale(rows) if constant.scale is None else _declared_scale(constant.scale.reshape(rows.shape))
    )
    integers = np.rint(rows / scale[:, None])
    off = np.abs(integers * scale[:, None] - rows).max(1) > np.abs(rows).max(1) * 2.0**-20
    values = constant.values or _smallest(integers)
    outside = (integers < values.lo) | (integers > values.hi) | ((integers - values.lo) % values.step != 0)
    wrong = outside | off[:, None]
    if wrong.any():
        example = constant.array.ravel()[int(np.argmax(wrong))]
        raise WeightError(
            f"weights declared as {values}, but {np.count_nonzero(wrong)} are not, {example:g} for one"
        )
    if values.bits > _MAX_BITS:
        raise WeightError(f"weights of {values.bits} bits; at most {_MAX_BITS} are supported")
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
    step = grid_step(rows, most=127)
    if step is not None:
        return np.full(len(rows), step)
    steps = [grid_step(row, most=127) for row in rows]
    if None in steps:
        raise WeightError(
            f"weights that are not quantised (output {steps.index(None)} holds no small integers times "
            "a scale); train with quantised weights and export the Quant or BipolarQuant nodes"
        )
    return np.array(steps)


def _smallest(integers):
    largest = int(np.abs(integers).max())
    if largest <= 1:
        return Values(-1, 1) if (integers == 0).any() else BIPOLAR
    return Values(-(1 << largest.bit_length()), (1 << largest.bit_length()) - 1)
