"""Element-wise operators in float32, as the original graph computes them.

Every evaluator takes the node's attributes and its inputs as arrays that broadcast against each other. They
serve twice: to fold constants, and to follow one integer from an accumulator to a quantiser.

The order of operations is that of the reference executor (QONNX's, on ONNX Runtime), because float32 rounding
depends on it.
"""

import numpy as np

__all__ = ["EVALUATORS", "integer_range"]

_ROUNDING = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}


def integer_range(attributes, bit_width):
    """Least and greatest integer that a Quant node puts out before its zero point is taken away."""
    signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 1)
    if not signed:
        return 0, 2**bit_width - 1 - bool(narrow)
    return -(2 ** (bit_width - 1)) + bool(narrow), 2 ** (bit_width - 1) - 1


def _quant(attributes, x, scale, zero_point, bit_width):
    bit_width = int(np.asarray(bit_width).item())
    integers = x / scale + zero_point
    if bit_width == 1 and attributes.get("signed", 1):
        integers = _sign_up(integers)
    else:
        rounding = _ROUNDING[attributes.get("rounding_mode", "ROUND").upper()]
        integers = rounding(np.clip(integers, *integer_range(attributes, bit_width)))
    return (integers - zero_point) * scale


def _sign_up(x):
    return np.where(x >= 0, np.float32(1), np.float32(-1))


def _bipolar_quant(attributes, x, scale):
    return _sign_up(x) * scale


def _multi_threshold(attributes, x, thresholds):
    count = np.zeros(np.shape(x), np.float32)
    for column in range(thresholds.shape[-1]):
        count += x >= thresholds[..., column : column + 1]
    return np.float32(attributes.get("out_scale", 1)) * count + np.float32(attributes.get("out_bias", 0))


def _batch_normalization(attributes, x, scale, bias, mean, variance):
    epsilon = np.float32(attributes.get("epsilon", 1e-5))
    factor = np.float32(1) / np.sqrt(variance + epsilon) * scale
    return x * factor + (bias - mean * factor)


def _clip(attributes, x, low=None, high=None):
    low = attributes.get("min", -np.inf) if low is None else low
    high = attributes.get("max", np.inf) if high is None else high
    return np.clip(x, np.float32(low), np.float32(high))


def _divide(attributes, x, y):
    both = np.result_type(x, y)
    return x // y if np.issubdtype(both, np.integer) else x / y


def _power(attributes, x, y):
    if np.size(y) == 1 and np.ravel(y)[0] in (2, 3):
        return x * x if np.ravel(y)[0] == 2 else x * x * x
    return np.power(x, y)


def _same(attributes, x, *ignored):
    return x


EVALUATORS = {
    "Add": lambda attributes, x, y: x + y,
    "BatchNormalization": _batch_normalization,
    "BipolarQuant": _bipolar_quant,
    "Cast": _same,
    "Clip": _clip,
    "Div": _divide,
    "Dropout": _same,
    "Identity": _same,
    "IntQuant": _quant,
    "Mul": lambda attributes, x, y: x * y,
    "MultiThreshold": _multi_threshold,
    "Neg": lambda attributes, x: -x,
    "Pow": _power,
    "Quant": _quant,
    "Relu": lambda attributes, x: np.maximum(x, np.float32(0)),
    "Sign": lambda attributes, x: np.sign(x),
    "Sqrt": lambda attributes, x: np.sqrt(x),
    "Sub": lambda attributes, x, y: x - y,
}
