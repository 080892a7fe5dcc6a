"""A network in integers only: what the importer makes and everything else reads.

A :class:`Network` is a chain of layers, of which some are branches side by side, each a chain, and what joins them:
residual blocks, dense blocks, inceptions. Each layer is a frozen value that knows its input and output
:class:`Tensor`; the golden model computes it, the folding solver prices it, the hardware implements it.
Data flow in stream order: row by row, position by position, channel 0 first.
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .bits import BIPOLAR, Values

__all__ = ["MULTIPLIERS", "Add", "Concat", "Conv", "Flatten", "Join", "Lookup", "Network", "Pool", "Rescale", "Tensor",
           "Threshold", "TopK", "changed", "walk"]

MULTIPLIERS = {"dsp": "yes", "luts": "no"}  # and what Vivado calls that


@dataclass(frozen=True)
class Tensor:
    """Shape of one frame between two layers, and the integers in it."""

    height: int
    width: int
    channels: int
    values: Values

    @property
    def shape(self):
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def positions(self):
        """Pixels a frame."""
        return self.height * self.width

    def __str__(self):
        return f"{self.height}x{self.width}x{self.channels} {self.values}"


def _windowed(size, kernel, stride, before, after):
    return (size + before + after - kernel) // stride + 1


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    input: Tensor


@dataclass(frozen=True, eq=False)
class _Sliding(_Layer):
    """A layer that looks through a window: ``stride`` is (y, x), ``pads`` is (top, left, bottom, right)."""

    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def _positions(self):
        top, left, bottom, right = self.pads
        return (_windowed(self.input.height, self.kernel[0], self.stride[0], top, bottom),
                _windowed(self.input.width, self.kernel[1], self.stride[1], left, right))

    def __post_init__(self):
        if min(self._positions()) < 1:
            raise ValueError(f"{self.name}: a {self.kernel} window with pads {self.pads} does not fit "
                             f"into {self.input}")


@dataclass(frozen=True, eq=False)
class Lookup(_Layer):
    """Input quantiser: ``table[channel, byte]`` for every 8-bit pixel value; one row serves all channels."""

    table: np.ndarray
    values: Values

    @property
    def output(self):
        """Tensor after the table."""
        return Tensor(*self.input.shape, self.values)


@dataclass(frozen=True, eq=False)
class Conv(_Sliding):
    """Convolution without bias; a dense layer is a 1x1 convolution of a 1x1 image.

    Parameters
    ----------
    weights : int array, shape (outputs, channels, kernel height, kernel width)
        Signed integers.
    weight_values : Values or Powers
        Declared type of the weights: bipolar, ternary, integer or powers of two.
    pad_value : int
        What lies outside the image. 0 is exact for bipolar data, too: a third symbol, which adds nothing.
    multiplier : str
        What multiplies, whatever else could: one of :data:`MULTIPLIERS`; empty: what is cheapest.
    """

    weights: np.ndarray = None
    weight_values: Values = BIPOLAR
    pad_value: int = 0
    multiplier: str = ""

    @property
    def kernel(self):
        """(height, width) of the window."""
        return self.weights.shape[2:]

    @property
    def fan_in(self):
        """Products per output."""
        return int(np.prod(self.weights.shape[1:]))

    @property
    def binary(self):
        """Whether weights are binary, and activations so, too, or integers among which is 0."""
        return self.weight_values.bipolar and (self.input.values.bipolar or 0 in self.input.values)

    @property
    def macs(self):
        """Multiply-accumulates per frame."""
        return self.output.positions * self.weights.size

    @property
    def padded(self):
        """Whether the window ever leaves the image."""
        return any(self.pads)

    @cached_property
    def bounds(self):
        """Least and greatest accumulator value of every output, int64, shape (2, outputs)."""
        values = self.input.values
        lo, hi = values.lo, values.hi
        if self.padded:
            lo, hi = min(lo, self.pad_value), max(hi, self.pad_value)
        rows = self.weights.reshape(len(self.weights), -1)
        positive, negative = (rows.clip(*sides).sum(1, dtype=np.int64) for sides in ((0, None), (None, 0)))
        return np.stack([positive * lo + negative * hi, positive * hi + negative * lo])

    @cached_property
    def output(self):
        """Tensor of the accumulators."""
        lo, hi = self.bounds
        return Tensor(*self._positions(), len(self.weights), Values(int(lo.min()), int(hi.max())))


@dataclass(frozen=True, eq=False)
class Threshold(_Layer):
    """Requantisation: each output is ``values.lo + values.step * count``.

    ``count`` is the number of ``thresholds[channel]`` that the input has reached (``>=``); where ``flip[channel]``
    is set, the number that it has not.

    Parameters
    ----------
    thresholds : int64 array, shape (channels, values.levels - 1)
        Ascending in each row.
    flip : bool array, shape (channels,)
        Channels that fall as their input rises. The importer negates the filter instead wherever the
        threshold directly follows a convolution, so that only thresholds after pooling are flipped.
    """

    thresholds: np.ndarray
    flip: np.ndarray
    values: Values

    @property
    def output(self):
        """Tensor of the activations."""
        return Tensor(*self.input.shape, self.values)


@dataclass(frozen=True, eq=False)
class Rescale(_Layer):
    """Requantisation to more bits than can be compared: ``(x * factor + addend) >> shift``, clipped to ``values``.

    The shift rounds down; ``addend`` holds the half that makes it round to nearest, and upwards half-way.

    Parameters
    ----------
    factor, addend : int64 arrays, shape (channels,)
    shift : int
    values : Values
        Of step 1.
    """

    factor: np.ndarray
    addend: np.ndarray
    shift: int
    values: Values

    @property
    def output(self):
        """Tensor of the activations."""
        return Tensor(*self.input.shape, self.values)


@dataclass(frozen=True, eq=False)
class Pool(_Sliding):
    """Maximum or sum over a window. Padding never wins a maximum and adds nothing to a sum."""

    kernel: tuple[int, int] = (2, 2)
    kind: str = "max"

    @property
    def block(self):
        """Whether each value belongs to one output at most: it needs no window."""
        return tuple(self.kernel) == tuple(self.stride) and not any(self.pads)

    @property
    def output(self):
        """Tensor after pooling."""
        values, area = self.input.values, self.kernel[0] * self.kernel[1]
        if self.kind == "sum":
            lo, hi = values.lo * area, values.hi * area
            values = Values(min(lo, 0), max(hi, 0)) if any(self.pads) else Values(lo, hi)
        return Tensor(*self._positions(), self.input.channels, values)


@dataclass(frozen=True, eq=False)
class Flatten(_Layer):
    """The frame as one position whose channels are all values in stream order. Costs nothing."""

    @property
    def output(self):
        """Tensor of one position."""
        return Tensor(1, 1, int(np.prod(self.input.shape)), self.input.values)


@dataclass(frozen=True, eq=False)
class TopK(_Layer):
    """Channel numbers of the ``k`` largest scores, best first; the lower channel wins a tie."""

    k: int = 1

    @property
    def output(self):
        """Tensor of channel numbers."""
        return Tensor(1, 1, self.k, Values(0, max(1, self.input.channels - 1)))


def changed(layers, change):
    """A chain with ``change(layer)`` in place of every layer, those within branches included."""
    inner = (replace(layer, branches=tuple(changed(branch, change) for branch in layer.branches))
             if isinstance(layer, Join) else layer for layer in layers)
    return tuple(change(layer) for layer in inner)


def walk(layers):
    """All layers of a chain, those within branches before what joins them."""
    for layer in layers:
        if isinstance(layer, Join):
            for branch in layer.branches:
                yield from walk(branch)
        yield layer


def _check(layers, tensor):
    """Every layer takes what the one before it gives."""
    for layer in layers:
        if layer.input != tensor:
            raise ValueError(f"{layer.name} takes {layer.input}, but is given {tensor}")
        if isinstance(layer, Join):
            for branch in layer.branches:
                _check(branch, tensor)
        tensor = layer.output


@dataclass(frozen=True, eq=False)
class Join(_Layer):
    """Chains of layers that all start at ``input``, side by side; an empty one passes it on.

    Parameters
    ----------
    branches : tuple of tuples of layers
    factors : tuple of int
        What the integers of each branch are multiplied by, so that all are worth the same.
    """

    branches: tuple
    factors: tuple

    @property
    def ends(self):
        """Tensor after each branch, before its factor."""
        return [branch[-1].output if branch else self.input for branch in self.branches]

    @property
    def multiples(self):
        """Values of each branch after its factor."""
        products = [[*sorted((end.values.lo * f, end.values.hi * f)), end.values.step * abs(f)]
                    for end, f in zip(self.ends, self.factors, strict=True)]
        return [Values(*product) for product in products]


@dataclass(frozen=True, eq=False)
class Add(Join):
    """Sum of the branches, element by element."""

    @property
    def output(self):
        """Tensor of the sums."""
        ranges = self.multiples
        step = math.gcd(*(values.step for values in ranges))
        values = Values(sum(v.lo for v in ranges), sum(v.hi for v in ranges), step)
        return replace(self.ends[0], values=values)


@dataclass(frozen=True, eq=False)
class Concat(Join):
    """The channels of all branches, one branch's after the other's."""

    @property
    def output(self):
        """Tensor of all channels."""
        ranges, first = self.multiples, self.ends[0]
        values = ranges[0] if len(set(ranges)) == 1 else Values(min(v.lo for v in ranges), max(v.hi for v in ranges))
        return replace(first, channels=sum(end.channels for end in self.ends), values=values)


@dataclass(frozen=True, eq=False)
class Network:
    """A chain of layers from 8-bit pixels to scores.

    Parameters
    ----------
    name : str
        A safe identifier: it becomes file, folder and module names.
    layers : tuple
        The first layer's input is the image: (height, width, channels) of unsigned bytes.
    scale, offset : float64 arrays, shape (classes,)
        ``score * scale + offset`` is what the original graph puts out.
    metadata : dict
        What the model file says of itself: ``dataset``, ``trained``, ``accuracy`` where known.
    """

    name: str
    layers: tuple
    scale: np.ndarray
    offset: np.ndarray
    metadata: dict = field(default_factory=dict)

    def __post_init__(self):
        names = [layer.name for layer in self.walk()]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: two layers have one name: {', '.join(names)}")
        _check(self.layers, self.input)

    def walk(self):
        """All layers, as :func:`walk` gives them."""
        return walk(self.layers)

    @property
    def input(self):
        """Tensor of the image."""
        return self.layers[0].input

    @property
    def output(self):
        """Tensor of the scores, or of class numbers."""
        return self.layers[-1].output

    @property
    def untrained(self):
        """Whether the model file calls its weights untrained."""
        return self.metadata.get("trained") == "false"

    @property
    def macs(self):
        """Multiply-accumulates per frame."""
        return sum(layer.macs for layer in self.walk() if isinstance(layer, Conv))
