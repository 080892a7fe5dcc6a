"""The bench of training: both ways train the same network, from the same weights on the same images."""

import pytest
import torch

from bench import train
from tests.training.samples import stripes
from train import nets


def test_ways_begin_alike(tiny):
    ours, plain = (train._Way("tiny", name, seed=3, device="cpu").model for name in (train.OURS, train.PLAIN))
    assert all(map(torch.equal, nets.binary_weights(ours), nets.binary_weights(plain)))
    x = torch.rand(4, 3, 32, 32)
    assert torch.allclose(ours(x), plain(x), atol=1e-4)


def test_figures(tiny):
    rows = {row["what"]: row["measured"] for row in train.compare("tiny", 2, stripes(2_000), "cpu")}
    ours, plain = (rows[f"tiny: {name}"] for name in (train.OURS, train.PLAIN))
    assert rows["tiny: ours / plain Brevitas"] == pytest.approx(ours / plain, abs=0.02)
    assert rows["tiny: difference of the losses"] < 0.5
