"""Operators that become layers of their own: convolutions, dense layers, pools, padding, and the final choice.

Every function takes the supply of names, the node, and the node's inputs, one of which is a :class:`Signal`; it
returns the signal after it.
"""

from dataclasses import replace

import numpy as np

from ..bits import Values
from ..network import Conv, Pool, TopK
from .model import Constant
from .signal import Signal, grid_step
from .weights import WeightError, integer_weights
from .windows import Window

__all__ = ["LAYERS", "PADDED"]

_MAX_BITS = 16
_SCALES_AGREE = 1e-6


def _conv(names, node, signal, weights, bias=None):
    _need_image(node, signal)
    weights = _constant(node, weights, "weights")
    shape = weights.array.shape
    if node.attributes.get("group", 1) != 1:
        raise node.error("grouped convolutions are not supported; only group=1")
    if len(shape) != 4 or shape[1] != signal.tensor.channels:
        raise node.error(f"weights of shape {shape} do not fit {signal.tensor.channels} channels")
    window = Window.of(node, signal, shape[2:])
    signal = _settled(names, node, signal)
    pad_value = _pad_integer(node, window.pad_value, signal.scale[0])
    return _multiplied(names, node, signal, weights, bias, 1.0, "conv", stride=window.stride, pads=window.pads,
                       pad_value=pad_value)  # fmt: skip


def _matmul(names, node, first, second):
    if isinstance(first, Signal):
        return _dense(names, node, first, _matrix(node, second).rearranged(np.transpose))
    if second.view.shape[-1] != 1:
        raise node.error("constant weights on the left need a single column on the right")
    row = replace(second, view=second.view.swapaxes(-1, -2))
    result = _dense(names, node, row, _matrix(node, first))
    return replace(result, view=result.view.swapaxes(-1, -2))


def _gemm(names, node, signal, weights, bias=None):
    weights = _matrix(node, weights)
    attributes = node.attributes
    if attributes.get("transA", 0):
        signal = replace(signal, view=signal.view.T)
    if not attributes.get("transB", 0):
        weights = weights.rearranged(np.transpose)
    if bias is not None:
        bias = Constant(_constant(node, bias, "a bias").array * np.float32(attributes.get("beta", 1)))
    return _dense(names, node, signal, weights, bias, attributes.get("alpha", 1.0))


def _dense(names, node, signal, weights, bias=None, factor=1.0):
    """Multiply the last axis of the view by ``weights``, (outputs, features)."""
    *rows, features = signal.view.shape
    if features != weights.array.shape[1]:
        raise node.error(f"weights for {weights.array.shape[1]} features do not fit {features}")
    signal = _settled(names, node, signal)
    if np.prod(rows) == 1:
        signal = signal.flattened(names)
    elif features != signal.tensor.channels or (signal.view.ravel() != np.arange(signal.view.size)).any():
        raise node.error(f"multiplies {np.prod(rows)} rows, and they are not the channels of one pixel each")
    # The stream's order is (y, x, channel), the graph's mostly (channel, y, x): put the weights in the stream's.
    order = np.argsort(signal.view.reshape(-1, features)[0])
    weights = weights.rearranged(lambda array: array[:, order, None, None])
    result = _multiplied(names, node, signal, weights, bias, factor, "dense")
    return replace(result, view=np.arange(result.view.size).reshape(*rows, -1))


def _multiplied(names, node, signal, weights, bias, factor, kind, **window):
    """Emit the convolution; the graph's floats are ``factor`` times its sums, plus ``bias``."""
    try:
        integers, scale, values = integer_weights(weights)
        layer = Conv(names.readable(weights.origin, kind), signal.tensor, weights=integers, weight_values=values,
                     **window)  # fmt: skip
    except WeightError as error:
        raise node.error(str(error)) from None
    except ValueError as error:
        raise node.error(f"the window does not fit: {error}") from None
    scale = signal.scale[0] * scale * factor
    result = Signal.of_integers((*signal.layers, layer), layer.output, scale, layer.bounds)
    if bias is None:
        return result
    column = _constant(node, bias, "a bias").array.reshape(-1, 1).astype(np.float32)
    if len(column) not in (1, len(integers)) or not np.isfinite(column).all():
        raise node.error(f"a bias of {len(integers)} finite numbers is needed, this one has {len(column)}")
    return result.then(lambda x: x + column)


def _settled(names, node, signal):
    """``signal`` as integers that stand for integer times one scale, requantised if it must be."""
    signal = replace(signal, pads=None)
    straight = signal.affine()
    if straight is not None:
        scale, offset = straight
        if not offset.any() and np.ptp(scale) <= _SCALES_AGREE * np.abs(scale[0]):
            if signal.tensor.values.bits > _MAX_BITS:
                raise node.error(f"takes {signal.tensor.values.bits}-bit accumulators, no quantiser before it; put a "
                                 f"Quant node there (1 to 8 bits)")  # fmt: skip
            return Signal.of_integers(signal.layers, signal.tensor, scale[0], signal.bounds, signal.view)
    floats = signal.chain(signal.samples())
    step = grid_step(floats)
    if step is None:
        raise node.error("its input is not integers times one scale: scales or offsets differ between channels, or "
                         "there is no quantiser before it; put a Quant node with one scale there")
    integers = np.rint(floats / step).astype(np.int64)
    spacing = int(np.gcd.reduce(np.unique(integers - integers.min()))) or 1
    return signal.quantised(names, Values(int(integers.min()), int(integers.max()), spacing), step)


def _pad_integer(node, value, scale):
    integer = round(value / scale)
    if abs(integer * scale - value) > 1e-6 * abs(value):
        raise node.error(f"padded with {value:g}, which is no multiple of its input's scale {scale:g}")
    return integer


def _max_pool(names, node, signal):
    _need_image(node, signal)
    window = Window.of(node, signal, node.attributes["kernel_shape"])
    signal = replace(_rising(node, signal), pads=None)
    if window.pad_value > signal.chain(signal.samples()).min():
        raise node.error(f"padded with {window.pad_value:g}, which could win a maximum; let the pool itself pad")
    return _pooled(names, node, signal, window, "max")


def _rising(node, signal):
    signal = signal.rising()
    if signal is None:
        raise node.error("takes the maximum of values that fall as its integers rise, and there is no convolution "
                         "right before it to negate; quantise before the pool")
    return signal


def _average_pool(names, node, signal):
    _need_image(node, signal)
    window = Window.of(node, signal, node.attributes["kernel_shape"])
    if any(window.own_pads) and not node.attributes.get("count_include_pad", 0):
        raise node.error("averages over fewer values at the border; use count_include_pad=1, or no padding")
    return _averaged(names, node, signal, window)


def _averaged(names, node, signal, window):
    straight = replace(signal, pads=None).affine()
    if straight is None or (any(window.pads) and (straight[1].any() or window.pad_value != 0)):
        raise node.error("averages values that are not integers times a scale; put a Quant node before it")
    scale, offset = straight
    result = _pooled(names, node, signal, window, "sum")
    low, high = signal.bounds * int(np.prod(window.kernel))
    if any(window.pads):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    result = Signal.of_integers(result.layers, result.tensor, scale / np.prod(window.kernel), np.stack([low, high]))
    column = offset[:, None].astype(np.float32)
    return result.then(lambda x: x + column) if offset.any() else result


def _pooled(names, node, signal, window, kind):
    try:
        layer = Pool(names.readable(node.name, "pool"), signal.tensor, window.stride, window.pads, window.kernel, kind)
    except ValueError as error:
        raise node.error(f"the window does not fit: {error}") from None
    return replace(signal, layers=(*signal.layers, layer), tensor=layer.output, pads=None,
                   view=Signal.of_integers((), layer.output, 1).view)  # fmt: skip


def _global_max_pool(names, node, signal):
    _need_image(node, signal)
    return _pooled(names, node, _rising(node, signal), Window.whole(signal), "max")


def _global_average_pool(names, node, signal):
    _need_image(node, signal)
    return _averaged(names, node, signal, Window.whole(signal))


def _reduce_mean(names, node, signal, axes=None):
    axes = node.attributes.get("axes", ()) if axes is None else axes.array.tolist()
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise node.error(f"reduces axes {list(axes)}; only height and width, [2, 3], are supported")
    result = _global_average_pool(names, node, signal)
    keep = node.attributes.get("keepdims", 1)
    return result if keep else replace(result, view=result.view.reshape(result.view.shape[:2]))


def _pad(names, node, signal, pads=None, value=None, axes=None):
    _need_image(node, signal)
    attributes = node.attributes
    if attributes.get("mode", "constant") != "constant":
        raise node.error(f"mode {attributes['mode']} is not supported; only constant")
    pads = attributes["pads"] if pads is None else pads.array.tolist()
    value = attributes.get("value", 0.0) if value is None else float(value.array.item())
    axes = range(4) if axes is None else [axis % 4 for axis in axes.array.tolist()]
    before, after = np.zeros((2, 4), int)
    before[list(axes)], after[list(axes)] = np.reshape(pads, (2, -1))
    if before[:2].any() or after[:2].any() or min(pads) < 0:
        raise node.error(f"pads {pads}; only height and width can be padded, by 0 or more")
    return replace(signal, pads=((*before[2:].tolist(), *after[2:].tolist()), value))


def _arg_max(names, node, signal):
    if node.attributes.get("select_last_index", 0):
        raise node.error("select_last_index=1 is not supported: the lower class wins a tie")
    result = _chosen(names, node, signal, 1, node.attributes.get("axis", 0))
    return result if node.attributes.get("keepdims", 1) else replace(result, view=result.view.reshape(-1))


def _top_k(names, node, signal, k=None):
    k = node.attributes["k"] if k is None else int(_constant(node, k, "k").array.item())
    if not node.attributes.get("largest", 1):
        raise node.error("only the largest values can be chosen (largest=1)")
    return None, _chosen(names, node, signal, k, node.attributes.get("axis", -1))


def _chosen(names, node, signal, k, axis):
    shape = signal.view.shape
    if signal.view.size != signal.tensor.channels or shape[axis] != signal.tensor.channels:
        raise node.error(f"chooses along axis {axis} of {shape}; it must run over the classes, one position only")
    if not 1 <= k <= signal.tensor.channels:
        raise node.error(f"k={k} of {signal.tensor.channels} classes")
    signal = signal.rising() or signal
    if not signal.comparable:
        raise node.error("compares scores of different scale or offset, which integers cannot; give the last layer one "
                         "weight scale and no bias or BatchNorm of its own for each class")
    layer = TopK("topk", signal.tensor, k)
    shape = np.where(np.arange(len(shape)) == axis % len(shape), k, 1)
    return Signal.of_integers((*signal.layers, layer), layer.output, 1, view=np.arange(k).reshape(shape))


def _constant(node, value, what):
    if not isinstance(value, Constant):
        raise node.error(f"{what} must be constant")
    return value


def _matrix(node, weights):
    if _constant(node, weights, "weights").array.ndim != 2:
        raise node.error(f"weights of shape {weights.array.shape}; a matrix is needed")
    return weights


def _need_image(node, signal):
    if not signal.is_image:
        raise node.error(f"takes {signal.view.shape}, which is not [1, channels, height, width] of its input")


LAYERS = {
    "ArgMax": _arg_max,
    "AveragePool": _average_pool,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "TopK": _top_k,
}
PADDED = frozenset(("AveragePool", "Conv", "MaxPool"))
