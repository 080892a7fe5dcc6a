"""Small networks made by hand, with random weights."""

import numpy as np

from gen.bits import BIPOLAR, BYTE, Values
from gen.network import Conv, Flatten, Lookup, Network, Pool, Tensor, Threshold, TopK

__all__ = ["chain", "tiny", "top1", "vgg"]

SIGNED_BYTE = Values(-128, 127)


def chain(name, size, *steps, seed=0):
    """Network of binary layers over a ``size`` x ``size`` colour image.

    A step is a number (3x3 convolution with so many outputs, padded with zeros, and threshold), ``"pool"``
    (2x2), or ``("dense", outputs)``; the last step, a dense one, has no threshold.
    """
    rng = np.random.default_rng(seed)
    image = Tensor(size, size, 3, BYTE)
    layers = [Lookup("input", image, np.arange(-128, 128)[None], SIGNED_BYTE)]
    for number, step in enumerate(steps, 1):
        before = layers[-1].output
        if step == "pool":
            layers.append(Pool(f"pool{number}", before, stride=(2, 2)))
            continue
        kind, outputs = step if isinstance(step, tuple) else ("conv", step)
        if kind == "dense" and before.positions > 1:
            layers.append(Flatten(f"flatten{number}", before))
            before = layers[-1].output
        size, pads = (3, (1,) * 4) if kind == "conv" else (1, (0,) * 4)
        weights = rng.choice([-1, 1], (outputs, before.channels, size, size))
        layers.append(Conv(f"{kind}{number}", before, pads=pads, weights=weights))
        if number < len(steps):
            sums = layers[-1].output
            thresholds = rng.integers(-3, 4, (outputs, 1))
            layers.append(Threshold(f"sign{number}", sums, thresholds, np.zeros(outputs, bool), BIPOLAR))
    classes = layers[-1].output.channels
    return Network(name, tuple(layers), np.ones(classes), np.zeros(classes))


def tiny():
    """Two convolutions and a dense layer on 8x8 pixels."""
    return chain("tiny", 8, 8, "pool", 16, ("dense", 10))


def vgg():
    """As large as B-VGG16."""
    return chain("vgg", 32, 64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", *[512] * 6,
                 "pool", "pool", ("dense", 1024), ("dense", 10))


def top1(network):
    """The same network with its class number as output."""
    layers = *network.layers, TopK("top1", network.output)
    return Network(network.name, layers, network.scale, network.offset)
