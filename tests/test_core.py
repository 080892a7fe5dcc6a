# amaranth: UnusedElaboratable=no
"""Whole networks in Amaranth's simulator against plain integers: every lane, folding and layer at random."""

import numpy as np
import pytest

from gen.bits import pack
from gen.hw.core import Core

from . import integers, streams


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed):
    network = integers.random_network(seed)
    rng = np.random.default_rng(seed)
    foldings = integers.random_foldings(network, seed)
    images = [integers.random_image(network, rng) for _ in range(2)]
    core = Core(network, foldings)
    lanes = len(core.i.payload) // 8
    beats = [word for image in images for word in pack(image.reshape(-1, lanes), 8)]
    scores = np.concatenate([integers.run(network, image) for image in images])
    expected = network.output.values.encode(scores).tolist()
    stall = (0, 0.4)[seed % 2]
    assert streams.run(core, beats, len(expected), stall=stall, seed=seed, limit=200_000) == expected
