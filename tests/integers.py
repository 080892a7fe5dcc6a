"""Random integer networks, and what they compute, in plain NumPy loops: the reference for hardware tests."""

import numpy as np

from gen.bits import BIPOLAR, BYTE, Powers, Values
from gen.folding import Folding, limits, taps
from gen.network import Add, Conv, Flatten, Join, Lookup, Network, Pool, Rescale, Tensor, Threshold, TopK
from gen.stages import stages

TERNARY = Values(-1, 1)


def windows(x, layer, outside):
    """Taps of a sliding layer: (rows, columns, kernel height, kernel width, channels), ``outside`` as padding."""
    top, left, bottom, right = layer.pads
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=outside)
    view = np.lib.stride_tricks.sliding_window_view(padded, layer.kernel, axis=(0, 1))
    return view[::layer.stride[0], ::layer.stride[1]].transpose(0, 1, 3, 4, 2)


def compute(layer, x):
    """Output of one layer for one frame ``x`` (height, width, channels) of integers."""
    match layer:
        case Lookup():
            table = np.broadcast_to(layer.table, (x.shape[2], 256))
            return np.stack([table[c][x[:, :, c]] for c in range(x.shape[2])], axis=2)
        case Conv():
            return np.einsum("yxhwc,ochw->yxo", windows(x, layer, layer.pad_value), layer.weights.astype(np.int64))
        case Threshold():
            reached = (x[..., None] >= layer.thresholds).sum(-1)
            count = np.where(layer.flip, layer.values.levels - 1 - reached, reached)
            return layer.values.lo + layer.values.step * count
        case Rescale():
            return np.clip((x * layer.factor + layer.addend) // 2**layer.shift, layer.values.lo, layer.values.hi)
        case Pool(kind="max"):
            return windows(x, layer, -10**9).max((2, 3))
        case Pool():
            return windows(x, layer, 0).sum((2, 3))
        case Flatten():
            return x.reshape(1, 1, -1)
        case TopK():
            return np.argsort(-x.reshape(-1), kind="stable")[:layer.k].reshape(1, 1, -1)


def run(network, image):
    """Scores of one image."""
    return follow(network.layers, image).reshape(-1)


def follow(layers, x):
    """What a chain of layers, some of which join branches, gives for ``x``."""
    for layer in layers:
        if isinstance(layer, Join):
            parts = [follow(branch, x) * factor for branch, factor in zip(layer.branches, layer.factors, strict=True)]
            x = sum(parts) if isinstance(layer, Add) else np.concatenate(parts, axis=2)
        else:
            x = compute(layer, x)
    return x


def _choose(rng, options):
    return options[int(rng.integers(len(options)))]


def _divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def _random_values(rng):
    return _choose(rng, [BIPOLAR, BIPOLAR, BIPOLAR, Values(0, 3), Values(-4, 3), Values(-1, 1), Values(-1, 0),
                         Values(0, 15)])


def _random_weights(rng, shape, source):
    values = _choose(rng, [BIPOLAR, BIPOLAR, BIPOLAR, TERNARY, Values(-8, 7)] + [
        Powers(*size) for size in ((1,), (3,), (7,), (3, 2)) if 0 in source])
    if isinstance(values, Powers):
        return random_powers(rng, shape, values), values
    weights = rng.integers(0, values.levels, shape) * values.step + values.lo
    return weights.astype(np.int8), values


def random_powers(rng, shape, values):
    """Weights that are 0, or powers of two with a sign; or sums of several such."""
    terms = [0, *(sign << k for k in range(values.count) for sign in (1, -1))]
    if values.terms > 1:
        terms = [weight for weight in range(values.lo, values.hi + 1) if weight in values]
    return rng.choice(terms, shape)


def random_rescale(rng, name, source):
    """A rescaling that clips some of what reaches it."""
    values = _choose(rng, [Values(0, 255), Values(0, 65535), Values(-300, 500)])
    reach = max(-source.values.lo, source.values.hi)
    shift = int(rng.integers(1, 20))
    largest = max(1, 2 * (values.hi << shift) // reach)
    factor = rng.integers(-largest, largest + 1, source.channels)
    factor[rng.random(source.channels) < 0.1] = 0
    addend = rng.integers(-values.hi << shift, values.hi << shift, source.channels)
    return Rescale(name, source, factor, addend, shift, values)


def random_threshold(rng, name, source, *, flip=False):
    """A threshold layer about the middle of what reaches it."""
    values = _random_values(rng)
    middle, reach = (source.values.lo + source.values.hi) // 2, max(2, (source.values.hi - source.values.lo) // 6)
    thresholds = np.sort(rng.integers(middle - reach, middle + reach + 1, (source.channels, values.levels - 1)), axis=1)
    thresholds[rng.random(source.channels) < 0.1] = source.values.hi + 1  # a channel that never rises
    flips = rng.random(source.channels) < (0.4 if flip else 0)
    return Threshold(name, source, thresholds=thresholds.astype(np.int64), flip=flips, values=values)


def _random_conv(rng, name, source):
    kernel = (min(int(rng.integers(1, 4)), source.height), min(int(rng.integers(1, 4)), source.width))
    pads = tuple(int(rng.integers(0, size)) for size in (*kernel, *kernel))
    weights, values = _random_weights(
        rng, (int(_choose(rng, [2, 3, 4, 6])), source.channels, *kernel), source.values)
    outside = _choose(rng, [0, 0, source.values.lo, source.values.hi + 1]) if any(pads) else 0
    return Conv(name, source, stride=(int(rng.integers(1, 3)), int(rng.integers(1, 3))), pads=pads,
                weights=weights, weight_values=values, pad_value=outside)


def _random_pool(rng, name, source):
    kernel = (min(2, source.height), min(int(rng.integers(1, 4)), source.width))
    kind = _choose(rng, ["max", "max", "sum"])
    pads = (0, kernel[1] - 1, 0, 0) if rng.random() < 0.3 else (0, 0, 0, 0)
    return Pool(name, source, kernel=kernel, stride=(kernel[0], int(rng.integers(1, 3))), pads=pads, kind=kind)


def random_network(seed):
    """A small network with every kind of layer, odd sizes, strides and asymmetric pads."""
    rng = np.random.default_rng(seed)
    tensor = Tensor(int(rng.integers(3, 8)), int(rng.integers(3, 8)), int(_choose(rng, [1, 2, 3])), BYTE)
    layers = []

    def add(layer):
        layers.append(layer)
        return layer.output

    values = _choose(rng, [Values(-128, 127), BIPOLAR, Values(-8, 7)])
    tables = rng.integers(0, values.levels, (_choose(rng, [1, tensor.channels]), 256)) * values.step + values.lo
    if rng.random() < 0.8:
        tensor = add(Lookup("lookup", tensor, table=tables, values=values))
    for k in range(int(rng.integers(1, 4))):
        tensor = add(_random_conv(rng, f"conv{k}", tensor))
        pooled = rng.random() < 0.4
        if pooled and rng.random() < 0.5:  # pool the accumulators, then compare
            tensor = add(_random_pool(rng, f"pool{k}", tensor))
            pooled = False
        flip = isinstance(layers[-1], Pool)
        if rng.random() < 0.2:
            tensor = add(random_rescale(rng, f"rescale{k}", tensor))
        else:
            tensor = add(random_threshold(rng, f"threshold{k}", tensor, flip=flip))
        if pooled:
            tensor = add(_random_pool(rng, f"pool{k}", tensor))
            if rng.random() < 0.4:
                tensor = add(random_threshold(rng, f"again{k}", tensor, flip=True))
    tensor = add(Flatten("flatten", tensor))
    weights, values = _random_weights(rng, (int(_choose(rng, [2, 5, 10])), tensor.channels, 1, 1), tensor.values)
    tensor = add(Conv("dense", tensor, weights=weights, weight_values=values))
    if rng.random() < 0.3:
        tensor = add(TopK("top", tensor, k=int(rng.integers(1, 3))))
    return Network(f"random{seed}", tuple(layers), np.ones(tensor.channels), np.zeros(tensor.channels))


def random_foldings(network, seed):
    """Any folding that divides."""
    rng = np.random.default_rng(seed)
    return {stage.name: _random_folding(stage, rng) for stage in stages(network)}


def _random_folding(stage, rng):
    sizes = {what: _choose(rng, _divisors(whole)) for what, whole in limits(stage.layer).items()}
    return Folding(**sizes, taps=_choose(rng, taps(stage.layer, Folding(**sizes))),
                   dsp=bool(stage.binary and rng.random() < 0.5))


def random_image(network, rng):
    """Bytes of the network's input shape."""
    return rng.integers(0, 256, network.input.shape)
