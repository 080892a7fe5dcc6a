"""Ways to make signs: gradients, schedules, and what is deployed."""

import numpy as np
import pytest
import torch

from gen import golden
from gen.errors import UserError
from gen.importers import qonnx
from tests.training.samples import stripes
from train import deploy, export, loop, nets, quantizers
from train.recipes import Recipe

QUANTISERS = sorted(name for name, quantizer in quantizers.QUANTIZERS.items() if not quantizer.rectified)


@pytest.mark.parametrize("name", QUANTISERS)
def test_quantiser_learns_and_deploys_as_signs(tiny, name):
    torch.manual_seed(4)
    model, images = nets.build("tiny", name), stripes(400)
    recipe = Recipe(4, rate=0.01, batch=20, quantiser=name)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    losses = [loop.train_epoch(model, optimiser, images, recipe, epoch) for epoch in range(4)]
    assert losses[3] < losses[0] - 0.2
    loop.finish(model, images, recipe)
    plain = deploy.deployed(model, "tiny")
    for weight in nets.binary_weights(plain):
        assert set(weight.unique().tolist()) == {-1.0, 1.0}
    before, after = (loop.predict(net, images.pixels) for net in (model, plain))
    same = torch.isclose(before, after, rtol=1e-4, atol=1e-4).all(1).float().mean()
    assert same > 0.97, same  # but for rounding: folded scales may move a sum that is just on a threshold
    if name in ("ste", "dsq", "tanh", "bayes", "ubq"):
        assert torch.allclose(before, after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", QUANTISERS)
def test_deployed_network_is_what_the_golden_model_computes(tiny, name, tmp_path):
    torch.manual_seed(5)
    model, images = nets.build("tiny", name), stripes(200)
    quantizers.anneal(model, 1.0)
    loop.calibrate(model, images)
    plain = deploy.deployed(model, "tiny")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(export.to_bytes(export.to_qonnx(plain, "tiny", {})))
    network = qonnx.load(path)
    pixels = images.pixels.permute(0, 2, 3, 1).numpy()
    scores = golden.run(network, pixels) * network.scale + network.offset
    np.testing.assert_allclose(scores, loop.predict(plain, images.pixels).numpy(), rtol=1e-5, atol=1e-5)


def test_no_such_quantiser():
    with pytest.raises(UserError, match="no quantiser 'magic'; there are ste, staged, xnor"):
        nets.build("tfc", "magic")


@pytest.mark.parametrize(("module", "soft"), [
    (quantizers.ClampedSign, lambda x: x.clamp(-1, 1)),
    (quantizers.PassedSign, lambda x: x),
    (quantizers.ScaledSign, lambda x: x),
    (quantizers.SoftSign, lambda x: (np.log(9) / 2 * x.clamp(-1, 1)).tanh() / 0.8),
    (quantizers.UncertainSign, lambda x: x.clamp(-1, 1)),
])
def test_gradient_is_that_of_the_soft_function(module, soft):
    quant, x = module(), torch.linspace(-1.5, 1.5, 50).view(1, 50)
    scale = x.abs().mean() if module is quantizers.ScaledSign else 1.0
    slopes = []
    for function in (lambda t: quant(t)[0] / scale.detach() if torch.is_tensor(scale) else quant(t)[0], soft):
        leaf = x.clone().requires_grad_()
        (function(leaf) * torch.arange(1.0, 51.0)).sum().backward()
        slopes.append(leaf.grad)
    if module is quantizers.ScaledSign:  # the scale has a gradient of its own: one number, times each weight's sign
        rest = (slopes[0] - slopes[1]) * x.sign()
        assert torch.allclose(rest, rest[0, 0].expand_as(rest), atol=1e-3)
    else:
        assert torch.allclose(*slopes, rtol=1e-4, atol=1e-5)


def test_annealing():
    tanh, recu, ubq = quantizers.SteepTanh(), quantizers.RectifiedSign(), quantizers.UncertainSign()
    for progress, values in [(0, (1, 0.85, 1)), (1, (100, 0.99, 0.05))]:
        for module in (tanh, recu, ubq):
            module.anneal(progress)
        assert [tanh.nu.item(), recu.tau.item(), ubq.u.item()] == pytest.approx(values)
    x = torch.linspace(-0.2, 0.2, 9)
    assert torch.allclose(ubq.train()(x)[0], (20 * x).clamp(-1, 1), atol=1e-6)
    assert set(ubq.eval()(x)[0].tolist()) == {-1.0, 1.0}


def test_uncertainty_is_least_in_the_second_half():
    ubq = quantizers.UncertainSign()
    ubq.anneal(0.25)
    assert ubq.u.item() == pytest.approx(0.05**0.5)
    ubq.anneal(0.5)
    assert ubq.u.item() == pytest.approx(0.05)


def test_signs_come_gradually():
    gradual, x = quantizers.GradualSign(), torch.tensor([-2.0, -0.02, 0.0, 0.02, 2.0])
    gradual.anneal(0.49)
    assert gradual(x)[0].tolist() == pytest.approx([-1, -0.02 / 0.05**0.98, 0, 0.02 / 0.05**0.98, 1])
    gradual.anneal(0.5)
    assert gradual(x)[0].tolist() == [-1, -1, 1, 1, 1] and gradual.u == 0
    leaf = x.clone().requires_grad_()
    gradual(leaf)[0].sum().backward()
    assert leaf.grad.tolist() == [0, 1, 1, 1, 0]


def test_soft_statistics_are_measured_anew(tiny):
    torch.manual_seed(3)
    model, images = nets.build("tiny", "ubq"), stripes(200)
    loop.train_epoch(model, loop.adam(model), images, Recipe(4, rate=0.01, batch=20, quantiser="ubq"), 0)
    loop.finish(model, images, Recipe(4, batch=20, quantiser="ubq"))
    sums = model.conv1_1(model.input(model.centre(loop.scale(images.pixels))))
    assert torch.allclose(model.norm1_1.running_mean, sums.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert not model.training


def test_filters_of_one_weight_are_not_standardised():
    recu = quantizers.RectifiedSign()
    assert recu(torch.tensor([[[[0.5]]], [[[-0.25]]]]))[0].sign().flatten().tolist() == [1, -1]


def test_soft_sign_comes_back_into_its_range():
    dsq = quantizers.SoftSign()
    with torch.no_grad():
        dsq.a.fill_(0.6)
    dsq(torch.linspace(-1, 1, 9))[0].square().sum().backward()
    assert dsq.a.grad is not None
    (dsq(torch.linspace(-1, 1, 9))[0] * torch.linspace(-1, 1, 9)).sum().backward()
    assert dsq.a.grad != 0


def test_ternary_filters_may_be_all_zero(tiny):
    model = nets.build("tiny", "ternary")
    with torch.no_grad():
        nets.binary_weights(model)[1][0] = 0
    loop.calibrate(model, stripes(100))
    assert not deploy.deployed(model, "tiny").conv1_2.weight[0].any()


def test_loss_aware_scale_follows_the_curvature():
    quant, weight = quantizers.LossAwareSign(), torch.tensor([[1.0, -3.0]])
    assert quant(weight)[0].tolist() == [[2, -2]]
    quant.observe(weight, {"exp_avg_sq": torch.tensor([[9.0, 0.0]])})
    assert quant(weight)[0].tolist()[0] == pytest.approx([1, -1])


def test_real_weights_are_not_exported(tiny):
    with pytest.raises(UserError, match="differ in magnitude, so there is no scale to fold away"):
        deploy.deployed(nets.build("tiny", "real"), "tiny")


def test_uncertain_weights():
    model = nets.build("tfc", "ubq")
    quantizers.anneal(model, 1.0)
    assert 0.04 < quantizers.uncertain(model) < 0.06  # uniform in (-1, 1), u = 0.05
    assert quantizers.uncertain(nets.build("tfc")) == 0
