"""Products with constant weights: convolutions and dense layers.

Every operator takes the supply of names, the node, and the node's inputs, one of which is a
:class:`Signal`; it returns the signal after it.
"""

from dataclasses import replace

import numpy as np

from ..bits import Values
from ..network import Conv
from .model import Constant
from .signal import Signal, grid_step
from .weights import WeightError, integer_weights
from .windows import Window

__all__ = ["conv", "gemm", "matmul", "settled"]

_MAX_BITS = 32
_SCALES_AGREE = 1e-6


def conv(names, node, signal, weights, bias=None):
    """Convolve, with zero padding or that of a Pad node."""
    weights = _constant(node, weights, "weights")
    shape = weights.array.shape
    if node.attributes.get("group", 1) != 1:
        raise node.error("grouped convolutions are not supported; only group=1")
    if len(shape) != 4 or shape[1] != signal.tensor.channels:
        raise node.error(f"weights of shape {shape} do not fit {signal.tensor.channels} channels")
    window = Window.of(node, signal, shape[2:])
    signal = settled(names, node, signal)
    pad_value = _pad_integer(node, window.pad_value, signal.scale[0])
    return _multiplied(
        names, node, signal, weights, bias, stride=window.stride, pads=window.pads, pad_value=pad_value
    )


def matmul(names, node, first, second):
    """Multiply by weights from the right, or from the left."""
    if isinstance(first, Signal):
        return _dense(names, node, first, _matrix(node, second).rearranged(np.transpose))
    if second.view.shape[-1] != 1:
        raise node.error("constant weights on the left need a single column on the right")
    row = replace(second, view=second.view.swapaxes(-1, -2))
    result = _dense(names, node, row, _matrix(node, first))
    return replace(result, view=result.view.swapaxes(-1, -2))


def gemm(names, node, signal, weights, bias=None):
    """Multiply by weights from the right and add a bias."""
    attributes = node.attributes
    alpha, beta = (np.float32(attributes.get(name, 1)) for name in ("alpha", "beta"))
    weights = _matrix(node, weights).scaled(alpha)
    if attributes.get("transA", 0):
        signal = replace(signal, view=signal.view.T)
    if not attributes.get("transB", 0):
        weights = weights.rearranged(np.transpose)
    if bias is not None:
        bias = _constant(node, bias, "a bias").scaled(beta)
    return _dense(names, node, signal, weights, bias)


def _dense(names, node, signal, weights, bias=None):
    """Multiply the last axis of the view by ``weights``, (outputs, features)."""
    *rows, features = signal.view.shape
    if features != weights.array.shape[1]:
        raise node.error(f"weights for {weights.array.shape[1]} features do not fit {features}")
    signal = settled(names, node, signal)
    if np.prod(rows) == 1:
        signal = signal.flattened(names)
    elif features != signal.tensor.channels or (signal.view.ravel() != np.arange(signal.view.size)).any():
        raise node.error(f"multiplies {np.prod(rows)} rows, and they are not the channels of one pixel each")
    # The graph's features mostly come as (channel, y, x), the stream's as (y, x, channel).
    order = np.argsort(signal.view.reshape(-1, features)[0])
    weights = weights.rearranged(lambda array: array[:, order, None, None])
    result = _multiplied(names, node, signal, weights, bias)
    return replace(result, view=np.arange(result.view.size).reshape(*rows, -1))


def _multiplied(names, node, signal, weights, bias, **window):
    """Emit the convolution."""
    name = names.readable("conv" if node.op == "Conv" else "dense", node.name, weights.origin)
    try:
        integers, scale, values = integer_weights(weights, signal.tensor.values)
        layer = Conv(name, signal.tensor, weights=integers, weight_values=values, **window)
    except WeightError as error:
        raise node.error(str(error)) from None
    except ValueError as error:
        raise node.error(f"the window does not fit: {error}") from None
    layers = (*signal.layers, layer)
    result = Signal.of_integers(layers, layer.output, signal.scale[0] * scale, layer.bounds)
    if bias is None:
        return result
    column = _constant(node, bias, "a bias").array.reshape(-1, 1).astype(np.float32)
    if len(column) not in (1, len(integers)) or not np.isfinite(column).all():
        raise node.error(f"a bias of {len(integers)} finite numbers is needed, this one has {len(column)}")
    return result.then(lambda x: x + column)


def settled(names, node, signal):
    """``signal`` as integers that stand for integer times one scale, requantised if it must be."""
    signal = replace(signal, pads=None)
    straight = signal.affine()
    if straight is not None:
        scale, offset = straight
        if not offset.any() and np.ptp(scale) <= _SCALES_AGREE * np.abs(scale[0]):
            bits = signal.tensor.values.bits
            if bits > _MAX_BITS:
                raise node.error(f"takes integers of {bits} bits; put a Quant node of 1 to {_MAX_BITS} bits before it")
            return Signal.of_integers(signal.layers, signal.tensor, scale[0], signal.bounds, signal.view)
    floats = signal.chain(signal.samples())
    step = grid_step(floats)
    if step is None:
        raise node.error(
            "its input is not integers times one scale: scales or offsets differ between channels, or "
            "there is no quantiser before it; put a Quant node with one scale there"
        )
    integers = np.rint(floats / step).astype(np.int64)
    spacing = int(np.gcd.reduce(np.unique(integers - integers.min()))) or 1
    return signal.quantised(names, Values(int(integers.min()), int(integers.max()), spacing), step)


def _pad_integer(node, value, scale):
    integer = round(value / scale)
    if abs(integer * scale - value) > 1e-6 * abs(value):
        raise node.error(f"padded with {value:g}, which is no multiple of its input's scale {scale:g}")
    return integer


def _matrix(node, weights):
    if _constant(node, weights, "weights").array.ndim != 2:
        raise node.error(f"weights of shape {weights.array.shape}; a matrix is needed")
    return weights


def _constant(node, value, what):
    if not isinstance(value, Constant):
        raise node.error(f"{what} must be constant")
    return value
