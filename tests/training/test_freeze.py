"""Freezing: integer thresholds in the place of BatchNorm."""

import numpy as np
import pytest
import torch

from gen import golden
from gen.errors import UserError
from gen.importers import qonnx
from tests.training.samples import stripes
from train import deploy, export, freeze, loop, nets
from train.recipes import Recipe


@pytest.mark.parametrize("unit", [1.0, freeze.PIXEL])
def test_threshold_is_the_sign_of_the_norm(unit):
    torch.manual_seed(6)
    norm = torch.nn.BatchNorm1d(200, eps=1e-4).double().eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        torch.nn.init.normal_(tensor, std=3)
    torch.nn.init.uniform_(norm.running_var, 0.1, 4)
    with torch.no_grad():
        norm.weight[:8] = 0
        norm.bias[7], norm.running_mean[8:20] = 0, 5 * unit  # ties
        norm.bias[8:20] = 0
    sums = torch.arange(-60, 61).double()[:, None].expand(-1, 200) * unit
    deviation = torch.sqrt(norm.running_var + norm.eps)
    wanted = norm.weight * ((sums - norm.running_mean) / deviation) + norm.bias >= 0
    given = freeze.threshold(norm, unit)(sums.float())
    assert torch.equal(given > 0, wanted) and (given != 0).all()


def test_ubq_ends_as_what_is_executed(tiny, tmp_path):
    torch.manual_seed(7)
    model, images = nets.build("tiny", "ubq"), stripes(400)
    train, validation = images.split(100)
    recipe = Recipe(8, rate=0.01, batch=20, quantiser="ubq", freeze=1)
    loop.fit(model, train, validation, recipe, tmp_path / "run", progress=False)
    assert not any(weight.requires_grad for weight in nets.binary_weights(model))
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) - 1 == loop.epochs_of(recipe, model) == 12
    plain = deploy.deployed(model, "tiny")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(export.to_bytes(export.to_qonnx(plain, "tiny", {})))
    network = qonnx.load(path)
    scores = golden.run(network, images.pixels.permute(0, 2, 3, 1).numpy()) * network.scale + network.offset
    model.eval()
    np.testing.assert_allclose(scores, loop.predict(model, images.pixels).numpy(), rtol=1e-5, atol=1e-6)
    assert loop.accuracy(model, images) > 40


def test_stopped_while_freezing_is_resumed(tiny, tmp_path):
    train, validation = stripes(200).split(40)
    recipe, scores = Recipe(1, batch=40, quantiser="ubq", freeze=1), []
    for stops in ([5], [3, 5]):
        for stop in stops:
            torch.manual_seed(8)
            model = nets.build("tiny", "ubq")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loop, "epochs_of", lambda recipe, model, stop=stop: stop)
                loop.fit(model, train, validation, recipe, tmp_path / str(len(stops)), progress=False)
        scores.append(loop.predict(model, validation.pixels))
    assert torch.equal(*scores)


def test_scaled_weights_cannot_be_frozen(tiny):
    with pytest.raises(UserError, match="conv1_1 cannot be frozen"):
        freeze.freeze(nets.build("tiny", "xnor"), 1)
