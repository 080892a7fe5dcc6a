"""An activation on its way through the graph: integers, and what they stand for there.

Between an accumulator and the next quantiser every node acts on each channel alone, so that stretch is a
function of one integer. Nothing is rewritten: the function is evaluated, in the graph's own float32, at every
integer that the channel can reach, and the thresholds are read off.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..bits import BYTE, Values
from ..network import Conv, Flatten, Lookup, Tensor, Threshold
from .model import MAX_VALUES
from .thresholds import directions, steps

__all__ = ["Signal", "grid_step"]

# Of more integers than this a sample is evaluated, and the steps between two samples are found by bisection.
# That is exact, too: float32 operations round monotonically, so a chain of monotone operators is monotone.
_GRID = 1 << 14

# What float32 rounding may do to a straight line.
_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Signal:
    """One tensor of the graph: layers of integers so far, and a function from those to the graph's floats.

    Parameters
    ----------
    layers : tuple
        What has been emitted.
    tensor : Tensor
        The integers that the last of them puts out.
    view : int array
        The tensor as the graph sees it, batch included: where in the stream each element's integer is.
    bounds : int64 array, shape (2, channels)
        Least and greatest integer of each channel.
    chain : callable
        From integers, shape (..., channels, n), to the graph's float32 values.
    scale : float64 array, shape (channels,), optional
        Set while the graph's value is nothing but integer times scale.
    pads : tuple, optional
        A Pad node that waits for its convolution or pooling: ((top, left, bottom, right), value).
    shared : bool
        Whether several nodes take it, so that its layers cannot be changed to suit one.
    """

    layers: tuple
    tensor: Tensor
    view: np.ndarray
    bounds: np.ndarray
    chain: Callable
    scale: np.ndarray | None = None
    pads: tuple | None = None
    shared: bool = False

    @classmethod
    def of_pixels(cls, shape, unit):
        """Image of bytes that the graph sees as ``byte * unit``; ``shape`` is the graph's, batch first."""
        channels, height, width = (1, *shape[1:]) if len(shape) == 3 else (*shape[1:], 1, 1)[:3]
        tensor = Tensor(height, width, channels, BYTE)
        return cls.of_integers((), tensor, unit, view=_image_view(tensor).reshape(shape))

    @classmethod
    def of_integers(cls, layers, tensor, scale, bounds=None, view=None):
        """Integers of ``tensor`` that stand for ``integer * scale`` (a number, or one a channel).

        ``bounds`` are the tensor's, ``view`` is [1, channels, height, width], when not given.
        """
        if tensor.positions * tensor.channels > MAX_VALUES:
            raise ValueError(f"{tensor} has more than {MAX_VALUES:,} values")
        view = _image_view(tensor) if view is None else view
        scale = np.broadcast_to(np.asarray(scale, np.float64), tensor.channels)
        if bounds is None:
            bounds = np.repeat([[tensor.values.lo], [tensor.values.hi]], tensor.channels, axis=1)
        return cls(layers, tensor, view, bounds, _times(scale[:, None]), scale)

    @property
    def is_image(self):
        """Whether the graph sees this as [1, channels, height, width]."""
        return np.array_equal(self.view, _image_view(self.tensor))

    @property
    def is_pixels(self):
        """Whether the integers are the bytes of the image."""
        return self.tensor.values == BYTE and all(isinstance(layer, Flatten) for layer in self.layers)

    @property
    def reversible(self):
        """Whether channels can be negated: their filters are at hand."""
        return bool(self.layers) and isinstance(self.layers[-1], Conv) and not self.shared

    def then(self, step):
        """Apply an element-wise ``step`` to the floats."""
        chain = self.chain
        return replace(self, chain=lambda points: step(chain(points)), scale=None)

    def per_channel(self, array):
        """One number a channel, shape (channels, 1), of an array that broadcasts against the view.

        None where positions of one channel differ: they have to be flattened first.
        """
        stream = np.empty(self.view.size, array.dtype)
        stream[self.view.ravel()] = np.broadcast_to(array, self.view.shape).ravel()
        rows = stream.reshape(self.tensor.positions, self.tensor.channels)
        return rows[0][:, None] if (rows == rows[0]).all() else None

    def flattened(self, names):
        """The same with every value its own channel, in stream order."""
        count = self.tensor.positions
        if count == 1:
            return self
        layer, chain = Flatten(names.numbered("flatten"), self.tensor), self.chain

        def flat_chain(points):
            shape = points.shape
            return chain(points.reshape(count, -1, shape[-1])).reshape(shape)

        scale = None if self.scale is None else np.tile(self.scale, count)
        return replace(
            self,
            layers=(*self.layers, layer),
            tensor=layer.output,
            chain=flat_chain,
            scale=scale,
            bounds=np.tile(self.bounds, count),
        )

    @property
    def sampled(self):
        """Whether a channel has more integers than are all evaluated."""
        low, high = self.bounds
        return int((high - low).max()) // self.tensor.values.step >= _GRID

    def samples(self, most=_GRID):
        """Integers at which to evaluate each channel, (channels, n): all, or ``most`` evenly spread and both ends."""
        low, high = self.bounds
        step, most = self.tensor.values.step, min(most, _GRID)
        count = int((high - low).max()) // step + 1
        if count > most:
            step *= -(-count // most)
            count = int((high - low).max()) // step + 2
        return np.minimum(low[:, None] + step * np.arange(count), high[:, None])

    def rising(self):
        """The same with the filters negated of those channels whose floats fall as their integers rise.

        None where they cannot be, since there is no convolution right before.
        """
        falls = directions(self.chain(self.samples())) < 0
        if falls.any() and not self.reversible:
            return None
        return self.reversed(falls)

    @property
    def comparable(self):
        """Whether equal integers of two channels stand for equal floats, and greater ones for greater."""
        low, high = self.bounds
        common = replace(self, bounds=np.broadcast_to([[low.min()], [high.max()]], self.bounds.shape))
        floats = self.chain(common.samples())
        return bool((floats == floats[0]).all() and (floats[0, 1:] >= floats[0, :-1]).all())

    def reversed(self, channels):
        """The same with the filters of ``channels`` (bool array) negated."""
        if not channels.any():
            return self
        conv, chain = self.layers[-1], self.chain
        signs = np.where(channels, -1, 1)
        weights = conv.weights * signs.astype(conv.weights.dtype)[:, None, None, None]
        conv = replace(conv, weights=weights, weight_values=_holding(conv.weight_values, weights))
        scale = None if self.scale is None else self.scale * signs
        return replace(
            self,
            layers=(*self.layers[:-1], conv),
            tensor=conv.output,
            bounds=conv.bounds,
            chain=lambda points: chain(points * signs[:, None]),
            scale=scale,
        )

    def affine(self):
        """Scale and offset of each channel, two float64 arrays; None where a chain is not a straight line."""
        if self.scale is not None:
            return self.scale, np.zeros(len(self.scale))
        points = self.samples()
        floats = self.chain(points).astype(np.float64)
        run = np.maximum(points[:, -1] - points[:, 0], 1)
        scale = (floats[:, -1] - floats[:, 0]) / run
        offset = floats[:, 0] - scale * points[:, 0]
        error = np.abs(floats - (scale[:, None] * points + offset[:, None])).max(1)
        size = np.abs(floats).max(1)
        at_zero = self.chain(np.zeros((len(size), 1), np.int64))[:, 0].astype(np.float64)
        offset = np.where(np.abs(at_zero - offset) <= _TOLERANCE * size, at_zero, offset)
        return (scale, offset) if (error <= _TOLERANCE * size).all() else None

    def quantised(self, names, values, scale):
        """Emit the layer that turns the integers into those of ``values``, each worth ``scale``.

        The chain already ends with the quantiser: its floats are multiples of ``scale``. No layer is needed
        where the integers are the wanted ones as they are.
        """

        def levels(points):
            return np.rint((self.chain(points) / scale - values.lo) / values.step).astype(np.int32)

        if self.tensor.values == values:
            points = np.broadcast_to(np.arange(values.levels), (self.tensor.channels, values.levels))
            if np.array_equal(levels(values.lo + values.step * points), points):
                return Signal.of_integers(self.layers, self.tensor, scale, view=self.view)
        if self.is_pixels:
            return self._looked_up(names.numbered("lookup"), levels, values, scale)
        return self._thresholded(names.after(self.layers[-1], "threshold"), levels, values, scale)

    def _looked_up(self, name, levels, values, scale):
        points = np.broadcast_to(np.arange(256), (self.tensor.channels, 256))
        table = values.lo + values.step * levels(points)
        if (table == table[0]).all():
            table = table[:1]
        layer = Lookup(name, self.tensor, table, values)
        return Signal.of_integers((*self.layers, layer), layer.output, scale, view=self.view)

    def _thresholded(self, name, levels, values, scale):
        samples = self.samples()
        counts = levels(samples)
        falls = directions(counts) < 0
        thresholds = steps(levels, samples, counts, falls, values.levels)
        before = self
        if self.reversible:
            before = self.reversed(falls)
            # x < t, the filter negated: -x >= 1 - t
            thresholds = np.where(falls[:, None], 1 - thresholds[:, ::-1], thresholds)
            falls = np.zeros_like(falls)
        layer = Threshold(name, before.tensor, thresholds, falls, values)
        return Signal.of_integers((*before.layers, layer), layer.output, scale, view=self.view)


def grid_step(floats, most=255):
    """Greatest number of which all ``floats`` are multiples, at most ``most`` times it; or else None."""
    distinct = np.unique(np.abs(floats).astype(np.float64))
    largest = distinct[-1]
    if largest == 0:
        return 1.0
    for count in range(1, most + 1):
        step = largest / count
        if np.abs(np.rint(distinct / step) * step - distinct).max() <= largest * 2.0**-22:
            return step
    return None


def _image_view(tensor):
    """[1, channels, height, width] of stream positions."""
    return np.arange(tensor.positions * tensor.channels).reshape(1, *tensor.shape).transpose(0, 3, 1, 2)


def _times(scale):
    # The graph's own accumulator is a float32 sum of scaled products. Its exact value, rounded once, is what
    # every order of summation comes close to, and what each of them gives where scales are powers of two.
    return lambda points: (points * scale).astype(np.float32)


def _holding(values, weights):
    """``values``, widened where negation has led out of them (-8 in a 4-bit type)."""
    if values.lo <= weights.min() and weights.max() <= values.hi:
        return values
    return Values(min(values.lo, -values.hi), max(values.hi, -values.lo), values.step)
