"""Pools, and the Pad node that waits for a window."""

from dataclasses import replace

import numpy as np

from ..network import Pool
from .signal import Signal
from .windows import Window, need_image

__all__ = ["average_pool", "global_average_pool", "global_max_pool", "max_pool", "pad", "reduce_mean"]


def max_pool(names, node, signal):
    """Take maxima; padding never wins."""
    window = Window.of(node, signal, node.attributes["kernel_shape"])
    signal = replace(_rising(node, signal), pads=None)
    if any(pad >= size for pad, size in zip(window.pads, window.kernel * 2, strict=True)):
        raise node.error(f"pads {window.pads} leave windows of {window.kernel} with nothing in them")
    if window.pad_value > signal.chain(signal.samples()).min():
        raise node.error(
            f"padded with {window.pad_value:g}, which could win a maximum; let the pool itself pad"
        )
    return _pooled(names, node, signal, window, "max")


def _rising(node, signal):
    signal = signal.rising()
    if signal is None:
        raise node.error(
            "takes the maximum of values that fall as its integers rise, and there is no convolution "
            "right before it to negate; quantise before the pool"
        )
    return signal


def average_pool(names, node, signal):
    """Average, as a sum whose divisor goes into the scale."""
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
    scale = scale / np.prod(window.kernel)
    result = Signal.of_integers(result.layers, result.tensor, scale, np.stack([low, high]))
    column = offset[:, None].astype(np.float32)
    return result.then(lambda x: x + column) if offset.any() else result


def _pooled(names, node, signal, window, kind):
    name = names.readable("pool", node.name)
    try:
        layer = Pool(name, signal.tensor, window.stride, window.pads, window.kernel, kind)
    except ValueError as error:
        raise node.error(f"the window does not fit: {error}") from None
    view = Signal.of_integers((), layer.output, 1).view
    return replace(signal, layers=(*signal.layers, layer), tensor=layer.output, pads=None, view=view)


def global_max_pool(names, node, signal):
    """Take the maximum of each channel."""
    return _pooled(names, node, _rising(node, signal), Window.whole(node, signal), "max")


def global_average_pool(names, node, signal):
    """Average each channel."""
    return _averaged(names, node, signal, Window.whole(node, signal))


def reduce_mean(names, node, signal, axes=None):
    """Average each channel, with or without keeping height and width."""
    axes = node.attributes.get("axes", ()) if axes is None else axes.array.tolist()
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise node.error(f"reduces axes {list(axes)}; only height and width, [2, 3], are supported")
    result = global_average_pool(names, node, signal)
    keep = node.attributes.get("keepdims", 1)
    return result if keep else replace(result, view=result.view.reshape(result.view.shape[:2]))


def pad(names, node, signal, pads=None, value=None, axes=None):
    """Remember the padding for the window that follows."""
    need_image(node, signal)
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
    if not any(pads):
        return signal
    return replace(signal, pads=((*before[2:].tolist(), *after[2:].tolist()), value))
