"""Where a sliding window goes: kernel, stride and padding of a node, a Pad node before it included."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Window", "need_image"]


@dataclass(frozen=True)
class Window:
    """Sizes are (y, x), pads are (top, left, bottom, right).

    Parameters
    ----------
    own_pads : tuple
        What of ``pads`` is the node's and not a Pad node's.
    pad_value : float
        What a Pad node before puts outside.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    own_pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: float = 0.0

    @classmethod
    def of(cls, node, signal, kernel):
        """Read the window of ``node`` over ``signal``."""
        need_image(node, signal)
        attributes = node.attributes
        kernel, stride = tuple(kernel), tuple(attributes.get("strides", (1, 1)))
        if len(kernel) != 2 or len(stride) != 2 or min(kernel + stride) < 1:
            raise node.error(
                f"kernel {kernel} with strides {stride}; only windows of height and width are supported"
            )
        if any(step != 1 for step in attributes.get("dilations", (1, 1))):
            raise node.error("dilated windows are not supported; only dilations=[1, 1]")
        before, value = signal.pads or ((0, 0, 0, 0), -np.inf if node.op == "MaxPool" else 0.0)
        size = tuple(signal.tensor.shape[axis] + before[axis] + before[axis + 2] for axis in (0, 1))
        own = _own_pads(node, size, kernel, stride)
        if node.op == "Conv" and any(own) and value != 0:
            raise node.error(f"pads with 0 around a Pad node's {value:g}; only one value is possible")
        pads = tuple(a + b for a, b in zip(before, own, strict=True))
        return cls(kernel, stride, pads, own, value)

    @classmethod
    def whole(cls, node, signal):
        """One window over all of ``signal``."""
        need_image(node, signal)
        return cls(signal.tensor.shape[:2])


def _own_pads(node, size, kernel, stride):
    """The node's own padding, ``auto_pad`` and ``ceil_mode`` resolved."""
    attributes = node.attributes
    auto = attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max(0, (-(-s // t) - 1) * t + k - s) for s, k, t in zip(size, kernel, stride, strict=True)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        return (*less, *more) if auto == "SAME_UPPER" else (*more, *less)
    pads = [0, 0, 0, 0] if auto == "VALID" else list(attributes.get("pads", (0, 0, 0, 0)))
    if len(pads) != 4 or min(pads) < 0:
        raise node.error(f"pads {pads}; four numbers are needed, none negative")
    if attributes.get("ceil_mode", 0):
        for axis in (0, 1):
            over = (size[axis] + pads[axis] + pads[axis + 2] - kernel[axis]) % stride[axis]
            if over and node.op != "MaxPool":
                raise node.error("ceil_mode=1 averages over fewer values at the border; use ceil_mode=0")
            pads[axis + 2] += stride[axis] - over if over else 0
    return tuple(pads)


def need_image(node, signal):
    """Refuse a signal that the graph does not see as an image."""
    if not signal.is_image:
        raise node.error(f"takes {signal.view.shape}, which is not [1, channels, height, width] of its input")
