"""Which frames a network is simulated with."""

import numpy as np
import pytest

from gen.bits import BYTE
from gen.errors import UserError
from gen.network import Conv, Flatten, Network, Tensor
from train.data import datasets

from .images import frames


def network(shape, **metadata):
    """A network that sees images of ``shape`` and tells ten classes apart."""
    flat = Flatten("flat", Tensor(*shape, BYTE))
    dense = Conv("dense", flat.output, weights=np.ones((10, flat.output.channels, 1, 1), int))
    return Network("net", (flat, dense), np.ones(10), np.zeros(10), metadata)


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A data folder with MNIST, two test images of it."""
    monkeypatch.setitem(datasets.DATASETS, "mnist", datasets.DATASETS["mnist"]._replace(counts={"test": 2}))
    below = tmp_path / "MNIST/raw"
    below.mkdir(parents=True)
    sizes = bytes([0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28])
    (below / "t10k-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + sizes + bytes([3] * 784 + [9] * 784))
    (below / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 1]))
    return tmp_path


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (1, 1, 784)])
def test_test_images(mnist, shape):
    images, labels, source = frames(network(shape, dataset="mnist"), 2, mnist)
    assert images.shape == (2, *shape) and images.dtype == np.uint8
    assert (images[0] == 3).all() and (images[1] == 9).all() and labels.tolist() == [7, 1]
    assert source == "mnist test images"
    with pytest.raises(UserError, match="3 frames are asked for, but mnist has 2 test images"):
        frames(network(shape, dataset="mnist"), 3, mnist)


@pytest.mark.parametrize("metadata", [{}, {"dataset": "my cats"}])
def test_photographs_instead(mnist, metadata):
    images, labels, source = frames(network((28, 28, 1), **metadata), 3, mnist)
    assert images.shape == (3, 28, 28, 1) and labels is None and source == "photographs"
