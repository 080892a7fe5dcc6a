"""What a step takes over from the layers behind its sums, and what it has to know for that."""

import numpy as np

from ..errors import UserError
from ..network import Pool, Rescale, Threshold
from .steps import Maximum

__all__ = ["bounds", "drained", "square", "stride"]


def stride(window, maps, weights):
    """Stride of a window, 1 where it covers the map: then its taps are neighbours, which share chains."""
    top, left, bottom, right = window.pads
    covered = maps.height + top + bottom == weights.shape[2], maps.width + left + right == weights.shape[3]
    return tuple(1 if whole else size for whole, size in zip(covered, window.stride, strict=True))


def bounds(inputs, weights, padded):
    """Least and greatest sum of every output, shape (2, outputs)."""
    lo, hi = (np.array([getattr(channel, end) for channel in inputs]) for end in ("lo", "hi"))
    if padded:
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    positive, negative = weights.clip(min=0).sum((2, 3)), weights.clip(max=0).sum((2, 3))
    return np.stack([positive @ lo + negative @ hi, positive @ hi + negative @ lo])


def drained(layers):
    """The quantiser and the maximum that the drain computes of what comes next, and the layers left."""
    match layers:
        case [Rescale() | Threshold() as quantiser, Pool(kind="max") as pool, *rest]:
            return quantiser, pool, rest
        case [Rescale() | Threshold() as quantiser, *rest]:
            return quantiser, None, rest
        case [Pool(kind="max") as pool, Rescale() | Threshold() as quantiser, *rest] if _rises(quantiser):
            return quantiser, pool, rest
        case [Pool(kind="max") as pool, *rest]:
            return None, pool, rest
    return None, None, layers


def _rises(quantiser):
    """Whether it does not matter if the maximum is taken before or after."""
    return not quantiser.flip.any() if isinstance(quantiser, Threshold) else quantiser.factor.min() >= 0


def square(pool):
    """``pool`` as the drain does it: where there is one output, its window may reach beyond the map."""
    size = max(pool.kernel)
    sides = list(zip(pool.kernel, pool.stride, pool.output.shape, pool.input.shape, pool.pads, strict=False))
    strides = {stride for _, stride, outputs, _, _ in sides if outputs > 1} or {1}
    covers = all(kernel == size or (outputs == 1 and kernel - pad >= inputs)
                 for kernel, _, outputs, inputs, pad in sides)
    if not covers or len(strides) > 1 or max(size, *strides) > 15:
        raise UserError(f"{pool.name}: a maximum over {pool.kernel} with stride {pool.stride}; the array has square "
                        "windows of up to 15 with one stride: use such a one")
    return Maximum(size, *strides, *pool.pads[:2])
