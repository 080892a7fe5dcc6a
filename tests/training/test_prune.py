"""Pruning: filters that go, and a smaller network that computes the same."""

import pytest
import torch

from tests.training.samples import stripes
from train import deploy, freeze, loop, nets, prune
from train.recipes import Recipe


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(prune, "STEP", 2)


def trained(quantiser, keep, images, layers_frozen=0):
    """Return a trained network with gates."""
    torch.manual_seed(3)
    model = nets.build("tiny", quantiser)
    prune.add_gates(model, keep)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(4):
        loop.train_epoch(model, optimiser, images, Recipe(4, batch=20, quantiser=quantiser, rate=0.01), epoch)
    freeze.freeze(model, layers_frozen)
    return model


@pytest.mark.parametrize("quantiser", ["ste", "recu"])
def test_the_smaller_network_computes_the_same(tiny, quantiser):
    images = stripes(200)
    model = trained(quantiser, 0.5, images)
    net, smaller = prune.removed(model, deploy.deployed(model, "tiny"), nets.NETS["tiny"])
    assert net.layers == "4C3 4C3 MP2 8C3 MP4 16 10"
    assert [len(weight) for weight in nets.binary_weights(smaller)] == [4, 4, 8, 16, 10]
    scores = loop.predict(model, images.pixels)
    assert torch.allclose(scores, loop.predict(smaller, images.pixels), rtol=1e-4, atol=1e-4)
    assert len(scores.argmax(1).unique()) > 5


def test_frozen_layers_can_be_pruned(tiny):
    images = stripes(200)
    model = trained("ste", 0.7, images, layers_frozen=2)
    _, smaller = prune.removed(model, deploy.deployed(model, "tiny"), nets.NETS["tiny"])
    assert torch.allclose(loop.predict(model, images.pixels), loop.predict(smaller, images.pixels), atol=1e-4)


def test_gates_close_over_the_first_half():
    gate = prune.Gate(16, 0.25)
    counts = []
    for progress in (0, 0.25, 0.5, 1):
        gate.anneal(progress)
        counts.append(int(gate.mask().sum()))
    assert counts == [16, 10, 4, 4]


def test_importance_learns_as_if_it_were_a_factor():
    gate = prune.Gate(4, 0.5)
    gate.anneal(1.0)
    x = torch.randn(3, 4, 2, 2)
    (gate(x) ** 2).sum().backward()
    mask = gate.mask()
    expected = (2 * mask.view(1, 4, 1, 1) * x * x).sum((0, 2, 3))
    assert mask.sum() == 2 and torch.allclose(gate.importance.grad, expected)


def test_the_filter_that_matters_stays():
    torch.manual_seed(1)
    gate, x = prune.Gate(4, 0.5), torch.randn(1000, 4)
    optimiser = torch.optim.Adam(gate.parameters(), lr=0.01)
    for step in range(200):
        gate.anneal(step / 200)
        optimiser.zero_grad()
        ((gate(x)[:, 2:] - x[:, 2:]).square().mean() + 0.1 * gate(x)[:, :2].square().mean()).backward()
        optimiser.step()
    assert gate.mask().tolist() == [0, 0, 1, 1]
