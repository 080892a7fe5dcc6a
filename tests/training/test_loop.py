"""The training loop: it learns, and stopped or not comes to the same."""

import pickle
from dataclasses import replace

import pytest
import torch

from gen.errors import UserError
from tests.training.samples import stripes
from train import loop, nets
from train.recipes import Recipe


@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_lowers_the_loss(tiny, bfloat16):
    recipe, images = Recipe(4, rate=0.02, batch=20, bfloat16=bfloat16), stripes(300)
    optimiser = torch.optim.Adam(tiny.parameters())
    losses = [loop.train_epoch(tiny, optimiser, images, recipe, epoch) for epoch in range(3)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(weight.abs().max() <= 1 for weight in nets.binary_weights(tiny))
    assert loop.accuracy(tiny, images) > 50


def stop_after(epochs):
    """Return a stand-in for `loop.accuracy` that is interrupted in the epoch after so many."""
    accuracy, calls = loop.accuracy, iter(range(epochs))

    def watch(model, images):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return accuracy(model, images)

    return watch


def test_resumed_is_uninterrupted(tiny, tmp_path):
    train, validation = stripes(130).split(30)
    recipe = Recipe(3, seed=5, batch=40, shift=4, mirror=True)
    stopped = nets.build("tiny")
    stopped.load_state_dict(tiny.state_dict())
    loop.fit(tiny, train, validation, recipe, tmp_path / "a", progress=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "accuracy", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            loop.fit(stopped, train, validation, recipe, tmp_path / "b", progress=False)
    resumed = nets.build("tiny")
    loop.fit(resumed, train, validation, recipe, tmp_path / "b", progress=False)

    for name, tensor in tiny.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    a, b = ((tmp_path / run / "log.csv").read_text().splitlines() for run in "ab")
    assert [line.rsplit(",", 1)[0] for line in a] == [line.rsplit(",", 1)[0] for line in b]
    with pytest.raises(ValueError, match="made by another recipe"):
        loop.fit(resumed, train, validation, replace(recipe, rate=0.1), tmp_path / "b")


def test_a_run_can_be_lengthened_while_its_rate_is_constant(tiny, tmp_path):
    train, validation = stripes(130).split(30)
    twin = nets.build("tiny")
    twin.load_state_dict(tiny.state_dict())
    recipe = Recipe(2, batch=40)
    longer = replace(recipe, epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "accuracy", stop_after(1))
        with pytest.raises(KeyboardInterrupt):
            loop.fit(tiny, train, validation, recipe, tmp_path / "a", progress=False)
    loop.fit(nets.build("tiny"), train, validation, longer, tmp_path / "a", progress=False)
    loop.fit(twin, train, validation, longer, tmp_path / "b", progress=False)
    a, b = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)["model"] for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(ValueError, match="made by another recipe"):
        loop.fit(twin, train, validation, replace(recipe, epochs=5), tmp_path / "b")


def test_calibration_measures_what_the_layer_sees(tiny):
    images = stripes(200)
    before = [weight.clone() for weight in nets.binary_weights(tiny)]
    loop.calibrate(tiny, images)
    sums = tiny.conv1_1(tiny.input(tiny.centre(loop.scale(images.pixels))))
    assert torch.allclose(tiny.norm1_1.running_mean, sums.mean((0, 2, 3)), atol=1e-3)
    assert tiny.norm1_1.momentum == 0.1
    assert all(map(torch.equal, before, nets.binary_weights(tiny)))


def test_balanced_pools_pass_both_signs(tiny):
    nets.balance_pools(tiny)
    images = stripes(200)
    loop.calibrate(tiny, images)
    with torch.no_grad():
        pooled = tiny[: list(dict(tiny.named_children())).index("pool2") + 1](loop.scale(images.pixels))
    assert -0.8 < pooled.mean() < 0.8
    assert len(loop.predict(tiny, images.pixels).argmax(1).unique()) > 2


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps(print), pickle.dumps({"recipe": {}})])
def test_hostile_checkpoints_are_refused(tiny, tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    train, validation = stripes(60).split(20)
    with pytest.raises(UserError, match=r"checkpoint.pt is no checkpoint of ours, or is damaged"):
        loop.fit(tiny, train, validation, Recipe(1), tmp_path, progress=False)
    assert (tmp_path / "checkpoint.pt").read_bytes() == content


def test_checkpoint_of_another_network_is_refused(tiny, tmp_path):
    train, validation = stripes(60).split(20)
    loop.fit(tiny, train, validation, Recipe(1, batch=20), tmp_path, progress=False)
    with pytest.raises(UserError, match="is of another network"):
        loop.fit(nets.build("cnv"), train, validation, Recipe(1, batch=20), tmp_path, progress=False)
