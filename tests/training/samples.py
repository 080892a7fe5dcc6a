"""A small network and easy images."""

import numpy as np

from train import loop, nets

TINY = nets.Net("cifar10", 1, "8C3 8C3 MP2 16C3 MP4 32 10")


def stripes(count):
    """Images whose class is the column of a bright stripe: easy, and not the same when flipped."""
    return loop.Images.of(*arrays(count))


def arrays(count):
    """The same as `train.data.load` would give them."""
    labels = np.arange(count) % 10
    images = np.random.default_rng(1).integers(0, 60, (count, 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 4] += 150
    return images, labels
