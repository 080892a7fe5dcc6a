"""A network's layers as steps of the array: sums, what the drain makes of them, and where they lie in memory."""

from dataclasses import dataclass, replace

import numpy as np

from ..bits import BYTE, Powers, Values, signed_digits
from ..errors import UserError
from ..network import Add, Concat, Conv, Flatten, Lookup, Pool, Rescale, Threshold, TopK
from .fusing import bounds, drained, square, stride
from .image import Place
from .requantise import requantised
from .steps import Channel, Step

__all__ = ["lower"]


@dataclass(frozen=True)
class _Maps:
    """Planes of one size; ``flat``: the network takes them as one pixel, as Flatten says."""

    height: int
    width: int
    channels: tuple
    flat: bool = False


def lower(network, shape, image):
    """Steps of ``network`` on an array of ``shape``; maps are reserved in ``image``.

    Returns
    -------
    steps : list of Step
    source : Place
        Of the input.
    table : int array, shape (1 or channels, 256), or None
        What the host writes there for each byte.
    result : Place
        Of the scores.

    Raises
    ------
    UserError
        A layer that the array cannot compute.
    """
    return _Lowering(shape, image).network(network)


class _Lowering:
    """Steps so far, and the image in which they reserve their maps."""

    def __init__(self, shape, image):
        self.shape, self.image, self.steps = shape, image, []

    def network(self, network):
        layers, image = list(network.layers), network.input
        flat = len(layers) > 1 and isinstance(layers[0], Flatten) and isinstance(layers[1], Lookup)
        if flat and len(layers[1].table) > 1:
            raise UserError(f"{layers[1].name}: a table for each value of a flattened image: use one table for all")
        if flat:
            layers = [layers[1], layers[0], *layers[2:]]
        table, values = np.arange(256)[None] if image.values == BYTE else None, image.values
        if isinstance(layers[0], Lookup):
            table, values = layers[0].table.astype(np.int64), layers[0].values
            layers = layers[1:]
        source = self.place(image.height, image.width, image.channels, values, "input")
        maps = _Maps(image.height, image.width, self.channels(source, values, None))
        if isinstance(layers[-1], TopK):  # the host's
            layers = layers[:-1]
        maps = self.chain(layers, maps, last=True)
        ends = [(channel.source, channel.factor) for channel in maps.channels]
        if ends != [((len(self.steps) - 1, k), 1) for k in range(len(ends))]:
            maps = self.identity("output", maps, [], raw=True)[0]
        if maps.flat and maps.height * maps.width > 1:
            raise UserError(f"{network.name} ends with Flatten: leave it out, or let a dense layer follow")
        return self.steps, source, table, self.steps[-1].output

    def place(self, height, width, channels, values, name, bits=16):
        if bits == 16 and not (values.lo >= -32768 and values.hi <= (32767 if values.lo < 0 else 65535)):
            raise UserError(f"{name}: values from {values.lo} to {values.hi} do not fit the 16 bits of memory: "
                            "quantise them to 16 bits")
        place = Place(None, height, width, channels, bits, values.lo < 0 or bits == 32)
        return place._replace(address=self.image.reserve(place.size))

    def channels(self, place, values, step):
        """Planes of ``place``, which ``step`` writes."""
        reach = 1 << self.shape.pixel_bits - 1
        if place.bits == 16 and not (-reach <= values.lo and values.hi < reach):
            raise UserError(f"values from {values.lo} to {values.hi} are more than the array's {self.shape.pixel_bits} "
                            f"bits hold: quantise them to fewer, or build an array with pixel_bits=17")
        return tuple(Channel(place.address.behind(k * place.plane), values.lo, values.hi,
                             source=None if step is None else (step, k)) for k in range(place.channels))

    # Layers

    def chain(self, layers, maps, last=False):
        """Maps after a chain of layers; the ``last`` one's sums stay as they are."""
        layers = list(layers)
        while layers:
            layer, *layers = layers
            if maps.flat and not isinstance(layer, Conv) and maps.height * maps.width > 1:
                raise UserError(f"{layer.name}: {type(layer).__name__} after Flatten: put it before")
            match layer:
                case Conv():
                    maps, layers = self.conv(layer, maps, layers, last)
                case Pool(kind="sum"):
                    maps, layers = self.sum_pool(layer, maps, layers, last)
                case Add():
                    maps, layers = self.add(layer, maps, layers, last)
                case Concat():
                    maps = self.concat(layer, maps)
                case Flatten():
                    maps = replace(maps, flat=True)
                case Pool() | Rescale() | Threshold():
                    maps, layers = self.identity(layer.name, maps, [layer, *layers])
                case _:
                    raise UserError(f"{layer.name}: the array does not compute {type(layer).__name__} here; it may "
                                    f"stand {'last' if isinstance(layer, TopK) else 'first'} only")
        return maps

    def conv(self, layer, maps, layers, last):
        weights = layer.weights.astype(np.int64)
        if any(layer.pads) and layer.pad_value:
            raise UserError(f"{layer.name}: pads with {layer.pad_value}, the array with 0: train it with zero padding")
        if maps.flat:
            shape = len(weights), maps.height, maps.width, len(maps.channels)
            weights = weights.reshape(shape).transpose(0, 3, 1, 2)
        weights = weights * np.array([channel.factor for channel in maps.channels])[:, None, None]
        parts = self.parts(layer.name, weights)
        return self.sums(layer, maps, maps.channels * len(parts), np.concatenate(parts, 1), layers, last)

    def parts(self, name, weights):
        """Weights of the array whose sum is ``weights``: two where those are sums of two powers (APoT)."""
        powers = Powers.holding(np.unique(weights), 2)
        if powers and powers.terms == 2 and 1 < powers.term.bits <= self.shape.bits < 16:
            return signed_digits(weights, 2)[:2]
        self.check(name, weights)
        return [weights]

    def sum_pool(self, layer, maps, layers, last):
        """A convolution of every channel on its own, with ones."""
        self.check_sparse(layer.name)
        factors = np.array([channel.factor for channel in maps.channels])
        raw = last and not layers
        weights = np.diag(factors if raw else np.ones_like(factors))
        self.check(layer.name, weights)
        weights = np.tile(weights[:, :, None, None], (1, 1, *layer.kernel))
        return self.sums(layer, maps, maps.channels, weights, layers, last, None if raw else factors)

    def check(self, name, weights):
        """Refuse weights that the array does not have."""
        distinct = np.unique(weights)
        wrong = [int(weight) for weight in distinct if int(weight) not in self.shape.weights]
        if wrong:
            found = Powers.holding(distinct, 2)
            enough = found and found.term.bits < 6
            bits = f"bits={found.term.bits}" if enough else "form='vpe', or round with --powers"
            raise UserError(f"{name}: a weight is {wrong[0]}, which the array's {self.shape.bits}-bit weights do not "
                            f"have: build it with {bits}")

    def branches(self, layer, maps):
        """Maps after each branch of a join."""
        found = [self.chain(branch, maps) for branch in layer.branches]
        if any(end.flat and end.height * end.width > 1 for end in found):
            raise UserError(f"{layer.name}: joins branches that end with Flatten: let it follow")
        return found

    def add(self, layer, maps, layers, last):
        """Each branch's channels side by side, each as often as its factor needs powers of two."""
        branches = self.branches(layer, maps)
        end = branches[0]
        inputs, places = [], []
        for k in range(len(end.channels)):
            for branch, factor in zip(branches, layer.factors, strict=True):
                channel = branch.channels[k]
                terms = self.terms(layer.name, factor * channel.factor)
                inputs += [channel] * len(terms)
                places += [(k, term) for term in terms]
        weights = np.zeros((len(end.channels), len(inputs), 1, 1), np.int64)
        for number, (k, term) in enumerate(places):
            weights[k, number] = term
        return self.sums(_Window(layer.name), end, tuple(inputs), weights, layers, last)

    def terms(self, name, factor):
        """Weights of the array whose sum is ``factor``."""
        if self.shape.form == "vpe":
            return [factor]
        self.check_sparse(name)
        terms, rest = [], factor
        while rest:
            power = min(self.shape.weights.hi, 1 << max(0, round(np.log2(abs(rest)))))
            terms.append(power if rest > 0 else -power)
            rest -= terms[-1]
        if len(terms) > 8:
            raise UserError(f"{name}: a branch counts {factor} times, which takes {len(terms)} weights of the array: "
                            "build it with more bits")
        return terms

    def check_sparse(self, name):
        if self.shape.bits == 1:
            raise UserError(f"{name}: takes channels one by one, for which binary weights have no 0: build the array "
                            "with bits=2")

    def concat(self, layer, maps):
        """Nothing is moved: a plane is known by its address."""
        branches = self.branches(layer, maps)
        channels = tuple(replace(channel, factor=channel.factor * factor)
                         for branch, factor in zip(branches, layer.factors, strict=True) for channel in branch.channels)
        return replace(branches[0], channels=channels)

    def identity(self, name, maps, layers, raw=False):
        """Every channel on its own, for what the drain computes."""
        self.check_sparse(name)
        factors = np.array([channel.factor for channel in maps.channels])
        weights = np.diag(factors if raw else np.ones_like(factors))[:, :, None, None]
        self.check(name, weights)
        window = _Window(name)
        return self.sums(window, maps, maps.channels, weights, layers, raw, None if raw else factors)

    def sums(self, window, maps, inputs, weights, layers, last, scale=None):
        """A step with as many of the ``layers`` behind it as the drain takes.

        Parameters
        ----------
        window : Conv, Pool or _Window
            Where sums are: name, stride, pads.
        maps : _Maps
            Size of the inputs.
        inputs : tuple of Channel
        weights : int array
        layers : list of layers
            That follow.
        last : bool
            If none do, sums are stored as they are.
        scale : int array, shape (outputs,), optional
            What the network counts a sum for.

        Returns
        -------
        maps : _Maps
        layers : list of layers
            Those that are left.
        """
        scale = np.ones(len(weights), np.int64) if scale is None else scale
        reach = bounds(inputs, weights, any(window.pads))
        bits = max(int(bound).bit_length() for bound in np.abs(reach).ravel()) + 1
        if bits > self.shape.acc_bits:
            raise UserError(f"{window.name}: sums need {bits} bits, the array's accumulators have "
                            f"{self.shape.acc_bits}: build it with acc_bits={bits}")
        quantiser, pool, layers = drained(layers)
        if pool and scale.min() < 0:
            raise UserError(f"{pool.name}: the maximum of channels that a Concat counts negative: pool before it")
        raw = last and not layers and quantiser is pool is None
        if raw and bits > 32:
            raise UserError(f"{window.name}: scores need {bits} bits, the array stores 32: quantise to fewer before")
        values = quantiser.values if quantiser else Values(int(reach[0].min()), int(reach[1].max()))
        requantise = None if raw else requantised(quantiser, window.name, reach, values, scale)
        step = Step(window.name, inputs, maps.height, maps.width, weights.astype(np.int32),
                    stride(window, maps, weights), window.pads, requantise, pool and square(pool), None)
        size = pool.output.shape[:2] if pool else (step.rows, step.columns)
        output = self.place(*size, len(weights), values, window.name, 32 if raw else 16)
        channels = self.channels(output, values, len(self.steps))
        self.steps.append(replace(step, output=output))
        if quantiser is None:
            channels = tuple(replace(c, factor=int(factor)) for c, factor in zip(channels, scale, strict=True))
        return _Maps(*size, channels), layers


@dataclass(frozen=True)
class _Window:
    """One pixel."""

    name: str
    stride: tuple = (1, 1)
    pads: tuple = (0, 0, 0, 0)
