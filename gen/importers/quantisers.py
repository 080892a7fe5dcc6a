"""What integers a quantiser puts out, and what one step of them is worth."""

import numpy as np

from ..bits import BIPOLAR, Values
from .elementwise import integer_range

__all__ = ["GRIDS"]

_MAX_BITS = 16
_MAX_THRESHOLDS = 255


def _quant_grid(node, inputs):
    bits, zero = inputs[3].array, inputs[2].array
    if bits.size != 1 or bits.item() not in range(1, _MAX_BITS + 1):
        raise node.error(f"bit width {bits.tolist()}; one width of 1 to {_MAX_BITS} bits is supported")
    if np.ptp(zero) or np.ravel(zero)[0] != np.rint(np.ravel(zero)[0]):
        raise node.error("the zero point must be one integer for all channels")
    bits, zero = int(bits.item()), int(np.ravel(zero)[0])
    if bits == 1 and node.attributes.get("signed", 1):
        return _positive(node, inputs[1].array), Values(-1 - zero, 1 - zero, 2)
    low, high = integer_range(node.attributes, bits)
    return _positive(node, inputs[1].array), Values(low - zero, high - zero)


def _bipolar_grid(node, inputs):
    return _positive(node, inputs[1].array), BIPOLAR


def _threshold_grid(node, inputs):
    """``out_scale * count + out_bias`` as integers, of step 2 where the bias is half a step off."""
    scale, bias = node.attributes.get("out_scale", 1.0), node.attributes.get("out_bias", 0.0)
    _positive(node, np.array(scale))
    levels = np.shape(inputs[1].array)[-1]
    for step in (1, 2):
        low = step * bias / scale
        if abs(low - round(low)) < 1e-6 and levels <= _MAX_THRESHOLDS:
            return np.array(scale / step), Values(round(low), round(low) + step * levels, step)
    raise node.error(
        f"{levels} thresholds, out_scale {scale:g} and out_bias {bias:g}: at most {_MAX_THRESHOLDS} thresholds, and a "
        "bias of whole or half scales are supported"
    )


def _sign_grid(node, inputs):
    return np.array(1.0), Values(-1, 1)


def _positive(node, scale):
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise node.error("its scale must be a positive number")
    return scale


GRIDS = {
    "BipolarQuant": _bipolar_grid,
    "IntQuant": _quant_grid,
    "MultiThreshold": _threshold_grid,
    "Quant": _quant_grid,
    "Sign": _sign_grid,
}
