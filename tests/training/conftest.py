"""What all tests of training share."""

import pytest
import torch

from tests.training.samples import TINY
from train import nets


@pytest.fixture(autouse=True)
def one_thread():
    """Others run beside these tests."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny(monkeypatch):
    """Make "tiny" a padded convolutional network that trains in a moment."""
    monkeypatch.setitem(nets.NETS, "tiny", TINY)
    torch.manual_seed(1)
    return nets.build("tiny")
