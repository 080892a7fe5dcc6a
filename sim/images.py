"""Frames to simulate with: a data set's test images, or photographs that ship with scikit-image."""

import math
import os
import pathlib

import numpy as np
import skimage
from PIL import Image

from gen.errors import UserError
from gen.golden import examples
from train.data import DATASETS

__all__ = ["frames"]

PHOTOGRAPHS = "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"


def frames(network, count, folder=None):
    """Images for ``network``, and where they come from.

    Parameters
    ----------
    network : gen.network.Network
        Its metadata name the data set; whoever trained it on pictures of their own gets photographs.
    count : int
    folder : path, optional
        Of the data sets; ``$BNN_DATA`` when not given. Without data: squares cut from photographs.

    Returns
    -------
    images : uint8 array, shape (count, height, width, channels)
    labels : int array, shape (count,), or None
    source : str
    """
    folder = folder or os.environ.get("BNN_DATA")
    dataset = network.metadata.get("dataset")
    if folder and dataset in DATASETS:
        images, labels = examples(network, folder, count=count)
        if count > len(images):
            raise UserError(f"{count} frames are asked for, but {dataset} has {len(images)} test images")
        return images, labels, f"{dataset} test images"
    return _photographs(network.input, count), None, "photographs"


def _photographs(tensor, count):
    """Squares from the middle of photographs, ever smaller, in the shape of ``tensor``."""
    height, width, channels = tensor.shape
    if tensor.positions == 1:  # a vector: the pixels of a grey image
        height = max(n for n in range(1, math.isqrt(channels) + 1) if channels % n == 0)
        width, channels = channels // height, 1
    folder, images = pathlib.Path(skimage.__file__).parent / "data", []
    for k in range(count):
        with Image.open(folder / PHOTOGRAPHS[k % len(PHOTOGRAPHS)]) as file:
            photograph = file.convert("RGB" if channels == 3 else "L")
        side = int(min(photograph.size) * 0.95 ** (k // len(PHOTOGRAPHS)))
        left, top = (photograph.width - side) // 2, (photograph.height - side) // 2
        square = photograph.resize((width, height), box=(left, top, left + side, top + side))
        pixels = np.asarray(square, np.uint8).reshape(height, width, -1)
        images.append(np.broadcast_to(pixels, (height, width, channels)))
    return np.stack(images).reshape(count, *tensor.shape)
