"""The network as stages of hardware: what shares a folding is one stage, which knows where its input comes from."""

from dataclasses import dataclass
from itertools import zip_longest

from .bits import BIT
from .network import Conv, Flatten, Join, Rescale, Threshold

__all__ = ["Stage", "stages"]


@dataclass(frozen=True, eq=False)
class Stage:
    """A layer, and the threshold (or rescaling) directly after a convolution, which shares its folding.

    Parameters
    ----------
    layer : object
    threshold : Threshold, Rescale or None
    start : Stage or None
        What gives the layer's input, where branches part as well; None: the pixels.
    sources : tuple of Stage or None
        What its streams come from: ``start`` alone, or the last stage of every branch that it joins.
    """

    layer: object
    threshold: object
    start: object
    sources: tuple

    @property
    def name(self):
        """The layer's."""
        return self.layer.name

    @property
    def inputs(self):
        """Tensor of each source, as the stage sees it."""
        return self.layer.ends if self.joins else [self.layer.input]

    @property
    def output(self):
        """Tensor after the stage."""
        return (self.threshold or self.layer).output

    @property
    def binary(self):
        """Whether it is a convolution of binary weights that gives bits, each of which a sum's sign can be."""
        layer, threshold = self.layer, self.threshold
        return (isinstance(layer, Conv) and layer.binary and isinstance(threshold, Threshold)
                and not threshold.flip.any() and (threshold.values.bipolar or threshold.values == BIT))

    @property
    def joins(self):
        """Whether branches meet here."""
        return isinstance(self.layer, Join)


def stages(network):
    """All stages of ``network``, those of branches before the one that joins them. A flatten is none."""
    found = []
    _follow(network.layers, None, found)
    return found


def _follow(layers, source, found):
    """Append the stages of a chain that begins at ``source`` to ``found``; returns the last."""
    shared = None
    for layer, following in zip_longest(layers, layers[1:]):
        if isinstance(layer, Flatten) or layer is shared:
            continue
        shared = following if isinstance(layer, Conv) and isinstance(following, Threshold | Rescale) else None
        branches = layer.branches if isinstance(layer, Join) else [()]
        source = Stage(layer, shared, source, tuple(_follow(branch, source, found) for branch in branches))
        found.append(source)
    return source
