"""The training loop: it learns, and stopped or not comes to the same."""

import io
import pickle
from dataclasses import replace

import pytest
import torch

from gen.errors import UserError
from tests.training.samples import stripes
from train import loop, nets, prune
from train.quantizers import QUANTIZERS
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
    with pytest.raises(ValueError, match=r"made by another recipe \(rate 0.02 there, 0.1 here\); name another"):
        loop.fit(resumed, train, validation, replace(recipe, rate=0.1), tmp_path / "b")


WAYS = {
    **{name: {"quantiser": name} for name in QUANTIZERS},
    "ema": {"ema": 0.9}, "staged, ema": {"quantiser": "staged", "ema": 0.9},
    "pow2, ema": {"quantiser": "pow2", "ema": 0.9}, "lab, ema": {"quantiser": "lab", "ema": 0.9},
    "prune": {"keep": 0.5}, "ubq, freeze": {"quantiser": "ubq", "freeze": 1},
    "tanh, freeze": {"quantiser": "tanh", "freeze": 1},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_stopped_or_given_again_it_is_the_same(tiny, tmp_path, way):
    train, validation = stripes(130).split(30)
    recipe = Recipe(3, rate=0.005, batch=40, mirror=True, **WAYS[way])

    def trained(out, epochs=None):
        torch.manual_seed(recipe.seed)
        model = nets.build("tiny", recipe.quantiser)
        if recipe.keep < 1:
            prune.add_gates(model, recipe.keep)
        with pytest.MonkeyPatch.context() as patch:
            if epochs:
                patch.setattr(loop, "accuracy", stop_after(epochs))
                with pytest.raises(KeyboardInterrupt):
                    loop.fit(model, train, validation, recipe, out, progress=False)
            else:
                loop.fit(model, train, validation, recipe, out, progress=False)
                return loop.predict(model, validation.pixels)

    whole, again = trained(tmp_path / "a"), trained(tmp_path / "a")
    trained(tmp_path / "b", epochs=2)
    resumed = trained(tmp_path / "b")
    assert torch.equal(whole, again) and torch.equal(whole, resumed) and whole.isfinite().all()


def test_other_images_are_told_from_those_it_was_trained_on(tiny, tmp_path):
    train, validation = stripes(60).split(20)
    loop.fit(tiny, train, validation, Recipe(1, batch=20), tmp_path, progress=False)
    with pytest.raises(UserError, match=r"checkpoint.pt was made with other images; name another folder"):
        loop.fit(tiny, train.first(30), validation, Recipe(1, batch=20), tmp_path, progress=False)


def test_without_a_bar_each_epoch_says_how_it_went(tiny, tmp_path, capsys):
    train, validation = stripes(60).split(20)
    loop.fit(tiny, train, validation, Recipe(2, batch=20), tmp_path, progress=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert len(list((tmp_path / "events").iterdir())) == 1


@pytest.mark.parametrize("quantiser", ["xnor", "bayes", "pow2"])
def test_what_cannot_be_frozen_is_not_trained(tiny, tmp_path, quantiser):
    train, validation = stripes(60).split(20)
    recipe = Recipe(1, batch=20, quantiser=quantiser, freeze=1)
    with pytest.raises(UserError, match="cannot be frozen"):
        loop.fit(nets.build("tiny", quantiser), train, validation, recipe, tmp_path, progress=False)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # PyTorch's own, of Brevitas
@pytest.mark.parametrize(("quantiser", "graphs"), [("ste", 1), ("tanh", 1), ("ubq", 1), ("recu", 1), ("dsq", 1),
                                                   ("pow2", 1), ("staged", 2)])
def test_a_network_is_compiled_as_one_graph(tiny, quantiser, graphs):
    seen = []
    model = nets.build("tiny", quantiser)
    if quantiser == "ste":
        prune.add_gates(model, 0.5)

    def backend(graph, _):
        seen.append(graph)
        return graph.forward

    torch.compiler.reset()
    model.compile(backend=backend)
    optimiser, images = loop.adam(model), stripes(60)
    for epoch in range(4):
        loop.train_epoch(model, optimiser, images, Recipe(4, batch=20, quantiser=quantiser), epoch)
    torch.compiler.reset()
    assert len(seen) == graphs


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


def saved(**state):
    """Bytes of a checkpoint in which ``state`` is not as it should be."""
    file = io.BytesIO()
    torch.save({"recipe": {"epochs": 1}, "images": "", "log": []} | state, file)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps(print), pickle.dumps({"recipe": {}}),
                                     saved(log=7), saved(log=["x"])])
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
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save(state | {"model": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="is of another network"):
        loop.fit(nets.build("tiny"), train, validation, Recipe(1, batch=20), tmp_path, progress=False)
