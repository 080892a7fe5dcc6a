"""What the array does at a time: sums over windows of some channels, and what becomes of them."""

from dataclasses import dataclass

import numpy as np

from .image import Address, Place
from .requantise import Requantise

__all__ = ["Channel", "Maximum", "Step"]


@dataclass(frozen=True)
class Channel:
    """A plane of activations in memory.

    Parameters
    ----------
    address : Address
    lo, hi : int
        What its words can be.
    factor : int
        What they are worth, where a Concat joins planes of several scales.
    source : tuple
        (step, output) whose drain writes it; None: the input.
    """

    address: Address
    lo: int
    hi: int
    factor: int = 1
    source: tuple | None = None


@dataclass(frozen=True)
class Maximum:
    """Pooling in the drain: windows of ``size`` x ``size``; the first one starts so far above and left of the map."""

    size: int
    stride: int
    top: int
    left: int


@dataclass(frozen=True)
class Step:
    """One thing that the array does: sums over a window of some channels, rescaled and pooled as they are drained.

    Parameters
    ----------
    name : str
        Of the layer that it is for.
    inputs : tuple of Channel
    height, width : int
        Of the inputs.
    weights : int array, shape (outputs, inputs, kernel height, kernel width)
    stride, pads : tuples
        As those of `gen.network.Conv`.
    requantise : Requantise or None
        None: sums are stored as they are, 32 bits each.
    pool : Maximum or None
    output : Place
        At an :class:`Address`.
    """

    name: str
    inputs: tuple
    height: int
    width: int
    weights: np.ndarray
    stride: tuple
    pads: tuple
    requantise: Requantise | None
    pool: Maximum | None
    output: Place

    @property
    def rows(self):
        """Rows of sums."""
        return (self.height + self.pads[0] + self.pads[2] - self.weights.shape[2]) // self.stride[0] + 1

    @property
    def columns(self):
        """Columns of sums."""
        return (self.width + self.pads[1] + self.pads[3] - self.weights.shape[3]) // self.stride[1] + 1

    @property
    def macs(self):
        """Multiply-accumulates: weights that are not 0 in sparse steps, all of a convolution."""
        sparse = np.count_nonzero(self.weights) * 2 < self.weights.size
        return int(self.rows * self.columns * (np.count_nonzero(self.weights) if sparse else self.weights.size))
