"""Where branches meet: sums and concatenations of two activations or more."""

from itertools import combinations

import numpy as np

from ..network import Add, Concat
from .products import settled
from .signal import Signal

__all__ = ["JOINS", "joined"]

JOINS = {"Add": (Add, 1), "Concat": (Concat, 1), "Sub": (Add, -1), "Sum": (Add, 1)}
_AGREE = 1e-6  # of scales: what float32 may do to them
_LARGEST = 1 << 16  # factor between two scales


def joined(names, node, inputs):
    """Emit the sum or the concatenation of ``inputs``, of which several are activations.

    What they have in common is computed once; from where they part each is a branch.

    Raises
    ------
    UserError
        One of them is a constant, their shapes differ, or their scales are no multiples of one another.
    """
    kind, sign = JOINS[node.op]
    signals = [settled(names, node, value) if isinstance(value, Signal) else None for value in inputs]
    if None in signals:
        raise node.error("joins activations and a constant at once; do one after the other")
    _check(node, kind, signals)
    while kind is Add and len(signals) > 2:  # those first that have most in common, so that it is computed once
        pair = max(combinations(signals, 2), key=lambda pair: len(_common(pair)))
        signals = [_joined(names, node, kind, pair, 1), *(s for s in signals if s is not pair[0] and s is not pair[1])]
    return _joined(names, node, kind, signals, sign)


def _joined(names, node, kind, signals, sign):
    scales = np.array([signal.scale[0] for signal in signals])
    unit = scales[np.abs(scales).argmin()]
    factors = np.rint(scales / unit)
    if (np.abs(scales / unit - factors) > _AGREE * np.abs(factors)).any() or np.abs(factors).max() > _LARGEST:
        raise node.error(f"joins activations of scales {', '.join(f'{s:g}' for s in scales)}, which are no multiples "
                         "of the least; give their quantisers one scale, or scales that are powers of two")
    factors[1:] *= sign
    common = _common(signals)
    begun = [signal.layers[0].input for signal in signals if signal.layers]
    fork = common[-1].output if common else [*begun, signals[0].tensor][0]
    branches = tuple(signal.layers[len(common):] for signal in signals)
    layer = kind(names.numbered(kind.__name__.lower()), fork, branches, tuple(int(f) for f in factors))
    view = signals[0].view if kind is Add else None
    return Signal.of_integers((*common, layer), layer.output, unit, view=view)


def _check(node, kind, signals):
    shapes = [signal.tensor.shape[:2] if kind is Concat else signal.tensor.shape for signal in signals]
    alike = all(signal.is_image for signal in signals) if kind is Concat else all(
        np.array_equal(signal.view, signals[0].view) for signal in signals)
    if len(set(shapes)) > 1 or not alike:
        raise node.error("joins activations of the shapes "
                         f"{', '.join('x'.join(map(str, signal.tensor.shape)) for signal in signals)}; sums need equal "
                         "ones, concatenations images of one height and width")
    if kind is Concat and node.attributes.get("axis") not in (1, 1 - signals[0].view.ndim):
        raise node.error(f"concatenates along axis {node.attributes.get('axis')}; only channels (1) can be")


def _common(signals):
    """Layers that the chains of all signals start with."""
    common = []
    for layers in zip(*(signal.layers for signal in signals), strict=False):
        if any(layer is not layers[0] for layer in layers):
            break
        common.append(layers[0])
    return tuple(common)
