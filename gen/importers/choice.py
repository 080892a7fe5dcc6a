"""The final choice: numbers of the best classes instead of scores."""

from dataclasses import replace

import numpy as np

from ..network import TopK
from .signal import Signal

__all__ = ["arg_max", "top_k"]


def arg_max(names, node, signal):
    """Number of the best class."""
    if node.attributes.get("select_last_index", 0):
        raise node.error("select_last_index=1 is not supported: the lower class wins a tie")
    result = _chosen(names, node, signal, 1, node.attributes.get("axis", 0))
    return result if node.attributes.get("keepdims", 1) else replace(result, view=result.view.reshape(-1))


def top_k(names, node, signal, k=None):
    """Numbers of the k best classes; their scores, the operator's first output, are not computed."""
    k = node.attributes["k"] if k is None else int(k.array.item())
    if not node.attributes.get("largest", 1):
        raise node.error("only the largest values can be chosen (largest=1)")
    return None, _chosen(names, node, signal, k, node.attributes.get("axis", -1))


def _chosen(names, node, signal, k, axis):
    shape = signal.view.shape
    if signal.view.size != signal.tensor.channels or shape[axis] != signal.tensor.channels:
        raise node.error(
            f"chooses along axis {axis} of {shape}; it must run over the classes, one position only"
        )
    if not 1 <= k <= signal.tensor.channels:
        raise node.error(f"k={k} of {signal.tensor.channels} classes")
    signal = signal.rising() or signal
    if not signal.comparable:
        raise node.error(
            "compares scores of different scale or offset, which integers cannot; give the last layer one "
            "weight scale and no bias or BatchNorm of its own for each class"
        )
    layer = TopK(names.numbered("topk"), signal.tensor, k)
    shape = np.where(np.arange(len(shape)) == axis % len(shape), k, 1)
    return Signal.of_integers((*signal.layers, layer), layer.output, 1, view=np.arange(k).reshape(shape))
