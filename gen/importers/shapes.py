"""Operators that move elements without changing them, and those that only ever work on constants.

A move is a function of the node's attributes, an array and constant parameters. It serves constants and,
applied to the view of a signal, activations alike.
"""

import numpy as np

__all__ = ["CONSTANTS", "MOVES"]


def _reshape(attributes, array, shape):
    sizes = [int(size) for size in shape]
    if not attributes.get("allowzero", 0):
        sizes = [array.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return array.reshape(sizes)


def _flatten(attributes, array):
    axis = attributes.get("axis", 1)
    return array.reshape(int(np.prod(array.shape[:axis])), -1)


def _axes(attributes, axes):
    axes = attributes.get("axes") if axes is None else axes
    return None if axes is None else tuple(int(axis) for axis in np.atleast_1d(axes))


def _gather(attributes, array, indices):
    return np.take(array, indices.astype(np.int64), axis=attributes.get("axis", 0))


def _constant(attributes):
    name, value = next(iter(attributes.items()))
    return np.asarray(value, {"value_float": np.float32, "value_floats": np.float32}.get(name))


MOVES = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": lambda attributes, array, axes=None: np.squeeze(array, _axes(attributes, axes)),
    "Transpose": lambda attributes, array: np.transpose(array, attributes.get("perm")),
    "Unsqueeze": lambda attributes, array, axes=None: np.expand_dims(array, _axes(attributes, axes)),
}

CONSTANTS = {
    "Concat": lambda attributes, *arrays: np.concatenate(arrays, attributes["axis"]),
    "Constant": _constant,
    "Gather": _gather,
    "Shape": lambda attributes, array: np.array(array.shape, np.int64),
}
