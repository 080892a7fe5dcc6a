"""Import QONNX: walk the graph once, node by node, and emit integer layers.

Every tensor of the graph is a :class:`Constant` or a :class:`Signal`: a node of constants is folded, a node
with a signal continues it.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..network import Conv, Flatten, Lookup, Network, Pool, TopK, changed, walk
from .chain import elementwise, quantised
from .choice import arg_max, top_k
from .elementwise import EVALUATORS
from .joins import JOINS, joined
from .model import Constant, read
from .names import Names
from .pools import average_pool, global_average_pool, global_max_pool, max_pool, pad, reduce_mean
from .products import conv, gemm, matmul
from .quantisers import GRIDS
from .shapes import CONSTANTS, MOVES
from .signal import Signal
from .thresholds import NotMonotone
from .weights import rounded

__all__ = ["load"]

_LAYERS = {
    "ArgMax": arg_max,
    "AveragePool": average_pool,
    "Conv": conv,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "TopK": top_k,
}
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_TAKES_PADS = ("AveragePool", "Conv", "MaxPool")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_SUPPORTED = sorted(EVALUATORS.keys() | MOVES.keys() | CONSTANTS.keys() | _LAYERS.keys() | JOINS.keys())


def load(path, name=None, powers=None, multiplier=None):
    """Import a model.

    Parameters
    ----------
    path : path
        An ``.onnx`` or ``.onnx.xz`` file: QONNX, one image in, layers in a chain or in branches, scores or classes out.
    name : str, optional
        What to call the network; the file's name when not given.
    powers : int, optional
        Round all weights that are not binary to powers of two of so many bits, 2 to 5.
    multiplier : str, optional
        Multiply by powers of two, too, rather than shift: one of ``MULTIPLIERS``.

    Returns
    -------
    Network
        Integers only, with the scores of the model's float32 graph.

    Raises
    ------
    UserError
        The file cannot be read, or holds what cannot be built; says which node, and what to do.
    """
    name = name or Path(path).name.removesuffix(".xz").removesuffix(".onnx")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{path}: {name!r} cannot name a network: a letter, then up to 63 letters, digits, - or _"
        )
    model = read(path)
    _check_operators(model)
    names = Names()
    tensors = dict(model.constants)
    tensors[model.input_name] = Signal.of_pixels(model.input_shape, 1 if model.input_is_integer else 1 / 255)
    takers = Counter(name for node in model.nodes for name in node.inputs)
    for node in model.nodes:
        inputs = _inputs(node, tensors)
        if powers and node.op in _PRODUCTS:
            inputs[:2] = [rounded(value, powers) if isinstance(value, Constant) else value for value in inputs[:2]]
        for output, result in zip(node.outputs, _evaluated(names, node, inputs), strict=False):
            shared = isinstance(result, Signal) and takers[output] > 1
            tensors[output] = replace(result, shared=True) if shared else result
    network = _network(name, model, tensors)
    if multiplier:
        return replace(network, layers=changed(network.layers, lambda layer: _multiplying(layer, multiplier)))
    return network


def _multiplying(layer, multiplier):
    """A product by a multiplier, unless its weights are binary."""
    if not isinstance(layer, Conv) or layer.weight_values.bipolar:
        return layer
    return replace(layer, multiplier=multiplier)


def _check_operators(model):
    unknown = [node for node in model.nodes if node.op not in _SUPPORTED or node.domain not in ("", "qonnx")]
    if unknown:
        found = ", ".join(
            f"{node.domain}{'.' if node.domain else ''}{node.op} ({node.name})" for node in unknown
        )
        raise UserError(
            f"{model.file}: operators that are not supported: {found}. Supported are {', '.join(_SUPPORTED)}"
        )


def _inputs(node, tensors):
    unknown = [name for name in node.inputs if name and name not in tensors]
    if unknown:
        raise node.error(f"its input {', '.join(unknown)} is not computed by any node before it")
    return [tensors[name] if name else None for name in node.inputs]


def _evaluated(names, node, inputs):
    """Constants or signals after ``node``, a tuple."""
    try:
        results = _node(names, node, inputs)
    except UserError:
        raise
    except NotMonotone as error:
        raise node.error(
            f"{error}; a threshold needs operators that together only rise or only fall"
        ) from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        # A file can hold anything: a reshape that does not fit, a missing attribute, text for a number.
        raise node.error(f"makes no sense with these inputs and attributes ({error})") from error
    return results if isinstance(results, tuple) else (results,)


def _node(names, node, inputs):
    signals = [value for value in inputs if isinstance(value, Signal)]
    if node.op == "Shape":
        return Constant(CONSTANTS["Shape"](node.attributes, signals[0].view if signals else inputs[0].array))
    if not signals:
        return _folded(node, inputs)
    if len(signals) > 1 and node.op in JOINS and not any(signal.pads for signal in signals):
        return joined(names, node, inputs)
    if node.op in CONSTANTS or (len(signals) > 1 and node.op not in JOINS):
        raise node.error(
            f"takes several activations ({', '.join(node.inputs)}); only {', '.join(JOINS)} can"
        )
    if any(signal.pads for signal in signals) and node.op not in _TAKES_PADS:
        raise node.error(f"follows a Pad node; only {', '.join(sorted(_TAKES_PADS))} can")
    if node.op in _LAYERS:
        return _LAYERS[node.op](names, node, *inputs)
    if node.op in MOVES:
        return _moved(node, *inputs)
    signal = elementwise(names, node, inputs)
    return quantised(names, node, signal, inputs) if node.op in GRIDS else signal


def _folded(node, inputs):
    arrays = [value and value.array for value in inputs]
    if node.op in MOVES:
        return inputs[0].rearranged(lambda array: MOVES[node.op](node.attributes, array, *arrays[1:]))
    if node.op in _LAYERS:
        raise node.error("works on constants only, which is not supported; fold it before export")
    with np.errstate(all="ignore"):
        array = np.asarray((EVALUATORS | CONSTANTS)[node.op](node.attributes, *arrays))
    origin = inputs[0].origin if inputs else ""
    if node.op not in GRIDS or node.op == "MultiThreshold":
        return Constant(array, origin=origin)
    _, values = GRIDS[node.op](node, inputs)
    scale = np.broadcast_to(np.asarray(arrays[1], np.float64) if len(arrays) > 1 else 1.0, array.shape)
    return Constant(array, scale, values, origin)


def _moved(node, signal, *constants):
    view = MOVES[node.op](node.attributes, signal.view, *(value and value.array for value in constants))
    return replace(signal, view=view)


def _network(name, model, tensors):
    """Close the chain: integer scores with scale and offset, or class numbers."""
    results = [tensors.get(output) for output in model.outputs]
    signals = [value for value in results if isinstance(value, Signal)]
    if len(signals) != 1 or not signals[0].layers:
        raise UserError(
            f"{model.file}: one output that depends on the image is needed, this model has "
            f"{len([s for s in signals if s.layers])}: {', '.join(model.outputs)}"
        )
    if not any(isinstance(layer, Conv | Pool) for layer in walk(signals[0].layers)):
        raise UserError(f"{model.file}: only element-wise operators; a convolution, dense layer or pool is needed")
    signal, output = signals[0], model.outputs[results.index(signals[0])]
    if signal.pads or not np.array_equal(signal.view.ravel(), np.arange(signal.tensor.channels)):
        raise UserError(
            f"{model.file}: output {output} has shape {signal.view.shape}, one score a class is needed; end "
            "with a dense layer or a global pool"
        )
    if isinstance(signal.layers[-1], TopK):
        count = signal.tensor.channels
        return Network(name, _flattened_early(signal.layers), np.ones(count), np.zeros(count), model.metadata)
    straight = signal.affine()
    if straight is None:
        raise UserError(
            f"{model.file}: output {output} is not integer scores times a scale, plus an offset; remove what "
            "follows the last layer but scale, bias and BatchNormalization, or quantise it"
        )
    return Network(name, _flattened_early(signal.layers), *straight, model.metadata)


def _flattened_early(layers):
    """Flatten before an input table that serves all channels: then many pixels can come at a time."""
    match layers:
        case (Lookup() as lookup, Flatten() as flatten, *rest) if len(lookup.table) == 1:
            flatten = replace(flatten, input=lookup.input)
            return flatten, replace(lookup, input=flatten.output), *rest
    return layers
