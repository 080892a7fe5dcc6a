"""The importer against the reference executor, and its errors."""

import numpy as np
import pytest

from gen import golden
from gen.importers.qonnx import load
from tests.random_networks import random_network
from tests.reference import reference


def scores(network, images):
    return golden.run(network, images) * network.scale + network.offset


@pytest.mark.parametrize("seed", range(150))
def test_random_network_agrees_with_the_reference_executor(seed, tmp_path):
    batch = 12
    model, (_, *shape) = random_network(seed)
    (tmp_path / "random.onnx").write_bytes(model.SerializeToString())
    network = load(tmp_path / "random.onnx")
    images = np.random.default_rng(seed).integers(0, 256, (batch, *shape[1:], shape[0]), np.uint8)
    wanted = reference(random_network(seed, batch)[0], images)
    np.testing.assert_allclose(scores(network, images), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
