# amaranth: UnusedElaboratable=no
"""Whole networks in Amaranth's simulator: every lane, folding and layer at random."""

import numpy as np
import pytest

from gen import golden
from gen.bits import pack
from gen.hw.core import Core

from . import integers, streams
from .graphs import imported
from .random_networks import random_network


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_against_plain_integers(seed):
    network = integers.random_network(seed)
    check(network, seed, lambda images: [integers.run(network, image) for image in images])


@pytest.mark.parametrize("seed", range(100, 130))
def test_random_models_against_the_golden_model(seed, tmp_path):
    network = imported(random_network(seed)[0], tmp_path)
    check(network, seed, lambda images: golden.run(network, np.array(images, np.uint8)))


def check(network, seed, reference):
    """Two frames through the hardware, some under random stalls."""
    foldings = integers.random_foldings(network, seed)
    rng = np.random.default_rng(seed)
    images = [integers.random_image(network, rng) for _ in range(2)]
    core = Core(network, foldings)
    lanes = len(core.i.payload) // 8
    beats = [word for image in images for word in pack(image.reshape(-1, lanes), 8)]
    scores = np.concatenate(list(reference(images)))
    expected = network.output.values.encode(scores).tolist()
    stall = (0, 0.4)[seed % 2]
    assert streams.run(core, beats, len(expected), stall=stall, seed=seed, limit=200_000) == expected
