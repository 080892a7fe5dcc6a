"""Element-wise nodes and quantisers on an activation."""

from dataclasses import replace

import numpy as np
import onnx

from ..bits import BIPOLAR
from ..network import Threshold, TopK
from .elementwise import EVALUATORS
from .quantisers import GRIDS
from .rescaling import rescaled
from .signal import Signal

__all__ = ["elementwise", "quantised"]

_COMPARED = 256  # levels up to which activations are found by comparison with thresholds, which is exact
_HARMLESS = frozenset(("Cast", "Dropout", "Identity"))
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def elementwise(names, node, inputs):
    """Append ``node`` to the chain of its signal."""
    if node.op in _HARMLESS:
        return _same(node, *inputs)
    place = next(place for place, value in enumerate(inputs) if isinstance(value, Signal))
    signal, columns = _columns(names, node, inputs[place], inputs[:place] + inputs[place + 1 :])
    evaluate = EVALUATORS[node.op]

    if signal.sampled and (node.op == "Pow" or (node.op == "Div" and place)):
        raise node.error("may rise and fall over more accumulator values than can all be looked at; use fewer bits "
                         "of weights or activations, or scale, offset and clip alone")

    def step(floats):
        with np.errstate(all="ignore"):
            result = evaluate(node.attributes, *columns[:place], floats, *columns[place:])
        if not np.isfinite(result).all():
            raise node.error(
                "gives something that is not a finite number (a division by zero, or a negative variance)"
            )
        return result

    return signal.then(step)


def _same(node, signal, *ignored):
    classes = signal.layers and isinstance(signal.layers[-1], TopK)
    if node.op == "Cast" and node.attributes.get("to") not in _FLOATS and not classes:
        raise node.error("casts activations to another type than float32")
    return signal


def _columns(names, node, signal, constants):
    """The constants as columns, one row a channel, and the signal: flattened, if its positions differ."""
    arrays = [None if constant is None else _numbers(node, constant) for constant in constants]
    if node.op == "MultiThreshold":
        arrays = [_along(signal, _channel_axis(node, signal), column) for column in arrays[0].T]
    if node.op == "BatchNormalization":
        if node.attributes.get("training_mode", 0):
            raise node.error("is in training mode; export the model for inference, model.eval()")
        arrays = [_along(signal, 1, array) for array in arrays]
    shape = np.broadcast_shapes(signal.view.shape, *(array.shape for array in arrays if array is not None))
    signal = replace(signal, view=signal.view.reshape(shape))
    if any(_column(signal, array) is None for array in arrays if array is not None):
        signal = signal.flattened(names)
    columns = [None if array is None else _column(signal, array) for array in arrays]
    return signal, [np.hstack(columns)] if node.op == "MultiThreshold" else columns


def _column(signal, array):
    return array.reshape(1, 1) if array.size == 1 else signal.per_channel(array)


def _numbers(node, constant):
    array = constant.array.astype(np.float32)
    if np.isnan(array).any() or (np.isinf(array).any() and node.op not in ("Clip", "MultiThreshold")):
        raise node.error(f"tensor {constant.origin} holds what is not a finite number")
    return array


def _along(signal, axis, vector):
    """``vector`` shaped so that it runs along ``axis`` of the view."""
    shape = np.ones(signal.view.ndim, int)
    shape[axis] = -1
    return vector.reshape(shape)


def _channel_axis(node, signal):
    layout = node.attributes.get("data_layout") or {2: "NC", 3: "NWC"}.get(signal.view.ndim, "NCHW")
    return layout.index("C") if "C" in layout else 1


def quantised(names, node, signal, inputs):
    """Emit the quantiser ``node`` that ``signal``, a chain of floats, ends with; ``inputs`` are the node's."""
    scale, values = GRIDS[node.op](node, inputs)
    if np.ptp(scale):
        raise node.error(
            "activation scales that differ between channels are not supported; train with one scale"
        )
    scale = float(np.ravel(scale)[0])
    if values.levels > _COMPARED and not signal.is_pixels:
        before = next(value for value in inputs if isinstance(value, Signal))
        return rescaled(names, node, before, values, scale)
    signal = signal.quantised(names, values, scale)
    return _without_zero(signal) if node.op == "Sign" else signal


def _without_zero(signal):
    """Sign's -1, 0, +1 as one bit where 0 does not occur."""
    layer = signal.layers[-1]
    if not isinstance(layer, Threshold) or (layer.thresholds[:, :1] != layer.thresholds[:, 1:]).any():
        return signal
    layer = replace(layer, thresholds=layer.thresholds[:, :1], values=BIPOLAR)
    return Signal.of_integers((*signal.layers[:-1], layer), layer.output, 1, view=signal.view)
