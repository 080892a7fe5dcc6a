"""Power-of-two weights: levels, thresholds, the gradient, and what becomes of them in the generator."""

import numpy as np
import pytest
import torch

from gen import golden
from gen.bits import Powers
from gen.errors import UserError
from gen.importers import qonnx
from gen.network import Conv
from tests.training.samples import stripes
from train import deploy, export, loop, nets, quantizers, start
from train.powers import PowerOfTwo, Rounded, levels, thresholds
from train.recipes import Recipe

SMALL = {
    "chain": ("4C3s2 MP2 8C3 AP2 16 10", {"bits": 5, "thresholds": "variance"}),
    "residual": ("4C3 8R3s2 AP4 10", {"bits": 3}),
    "dense": ("4K3s2 4G3 4G3 N 6K1 AP16 10", {"bits": 4, "act_bits": 12}),
    "scores of a pool": ("4C3 MP4 10C1 AP8", {"bits": 2}),
}


def weights(count=4000):
    """Random weights of a layer, the largest of which is 1."""
    w = torch.randn(count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return w / w.abs().amax()


@pytest.mark.parametrize(("bits", "magnitudes"), [
    (1, [1]), (2, [0, 1]), (3, [0, 1 / 4, 1 / 2, 1]), (4, [0, *(2.0**-i for i in range(6, -1, -1))])])
def test_levels(bits, magnitudes):
    assert levels(bits) == magnitudes
    assert len(levels(5)) == 16 and levels(5)[1] == 2.0**-14
    given = set(PowerOfTwo(bits, "largest").eval()(weights())[0].unique().tolist())
    assert given <= {sign * m for sign in (-1, 1) for m in magnitudes}
    assert {abs(value) for value in given} == set(magnitudes)


def test_thresholds_of_three_bits_are_the_authors():
    assert [0.14 * d for d in thresholds(3)] == pytest.approx([0.02, 0.07, 0.14])
    w = torch.tensor([[1.0, -0.1401, 0.1399, -0.0701, 0.0699, -0.0201, 0.0199, 0.0, -0.0]])
    given = PowerOfTwo(3, "largest").eval()(w)[0]
    assert given.tolist() == [[1, -1, 0.5, -0.5, 0.25, -0.25, 0, 0, 0]]
    assert torch.equal(PowerOfTwo(3, "largest").eval()(w / 7)[0], given)  # relative to the largest


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_variance_rule_keeps_the_variance(bits):
    w = weights()
    given = PowerOfTwo(bits, "variance").eval()(w)[0]
    assert given.var().item() == pytest.approx(w.var().item(), rel=0.02)


@pytest.mark.parametrize("rule", ["largest", "variance"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
def test_gradient_is_exact(bits, rule):
    """It is the derivative of the blended weights, a: by autograd, and by finite differences between jumps."""
    quant, w = PowerOfTwo(bits, rule).double().train(), weights(300)
    quant.anneal(0.3)
    a = 1 - 0.5 * 2**0.3
    assert quant.a.item() == pytest.approx(a)
    blended, slopes = torch.autograd.functional.vjp(lambda w: quant(w)[0], w, torch.ones_like(w))
    assert torch.allclose(blended, (1 - quant.a) * quant.rounded(w) + quant.a * w)
    assert torch.allclose(slopes, quant.a.expand_as(w))
    step, still = 1e-5, 0
    for row in range(len(w)):
        move = torch.zeros_like(w)
        move[row] = step
        if torch.equal(quant.rounded(w - move), quant.rounded(w + move)):
            difference = (quant(w + move)[0] - quant(w - move)[0]) / (2 * step)
            assert difference.sum().item() == pytest.approx(a, rel=1e-4)
            still += 1
    assert still > 250


def test_blend_ends_as_powers_of_two():
    quant, w = PowerOfTwo(3, "largest").train(), weights().float()
    shares = []
    for progress in (0, 0.5, 1):
        quant.anneal(progress)
        shares.append(quant.a.item())
    assert shares == pytest.approx([0.5, 1 - 0.5**0.5, 0])
    assert torch.equal(quant(w)[0], quant.eval()(w)[0])


def test_direct_rounding_has_no_gradient():
    quant, w = Rounded(3, "largest").train(), weights().float().requires_grad_()
    quant.anneal(0.5)
    quant(w)[0].sum().backward()
    assert not w.grad.any() and torch.equal(quant(w)[0], quant.rounded(w))


def imported(model, folder):
    """The trained model as the generator reads it."""
    path = folder / "net.onnx"
    path.write_bytes(export.to_bytes(export.to_qonnx(deploy.deployed(model, "small"), "small", {})))
    return qonnx.load(path)


@pytest.fixture
def small(monkeypatch):
    """Make "small" one of the networks in `SMALL`, built with a quantiser and calibrated; gives the maker."""
    def make(words, quantizer, images):
        monkeypatch.setitem(nets.NETS, "small", nets.Net("cifar10", 1, words))
        torch.manual_seed(2)
        model = nets.build("small", quantizer)
        quantizers.anneal(model, 1.0)
        loop.calibrate(model, images)
        for norm in model.modules():  # live ones
            if isinstance(norm, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
                torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
        loop.calibrate(model, images)
        return model
    return make


@pytest.mark.parametrize(("words", "settings"), SMALL.values(), ids=SMALL)
def test_golden_model_computes_it_with_shifts(small, words, settings, tmp_path):
    images, bits = stripes(40), settings["bits"]
    model = small(words, quantizers.find("pow2", **settings), images)
    network = imported(model, tmp_path)
    products = [layer for layer in network.walk() if isinstance(layer, Conv)]
    assert len(products) == len(nets.binary_weights(model))
    for layer in products:
        assert isinstance(layer.weight_values, Powers) and layer.weight_values.bits <= bits
        assert set(np.unique(np.abs(layer.weights))) <= {0, *(1 << i for i in range(2**(bits - 1)))}

    scores = loop.predict(model.double(), images.pixels, torch.float64).numpy()
    given = golden.run(network, images.pixels.permute(0, 2, 3, 1).numpy()) * network.scale + network.offset
    assert (given.argmax(1) == scores.argmax(1)).all() and len(np.unique(scores)) > 100
    np.testing.assert_allclose(given, scores, atol=0.01)


@pytest.mark.parametrize("name", ["ternary", "pow2", "rounded"])
def test_learns(tiny, name):
    torch.manual_seed(4)
    images, recipe = stripes(400), Recipe(4, rate=0.01, batch=20, quantiser=name)
    model = nets.build("tiny", quantizers.of(recipe))
    before = [weight.clone() for weight in nets.binary_weights(model)]
    optimiser = loop.optimiser_of(recipe, model)
    losses = [loop.train_epoch(model, optimiser, images, recipe, epoch) for epoch in range(4)]
    assert losses[3] < losses[0] - 0.2
    same = [torch.equal(*pair) for pair in zip(before, nets.binary_weights(model), strict=True)]
    assert set(same) == {name == "rounded"}
    if name == "ternary":
        plain = deploy.deployed(model, "tiny")
        assert all(set(w.unique().tolist()) <= {-1, 0, 1} for w in nets.binary_weights(plain))
        pair = [loop.predict(net.double(), images.pixels, torch.float64) for net in (model, plain)]
        assert torch.allclose(*pair, atol=2e-3)


@pytest.mark.parametrize("words", [words for words, _ in SMALL.values()], ids=SMALL)
def test_starts_from_full_precision(small, words):
    """With real weights the scores are the same, but for the fixed point of activations."""
    images = stripes(40)
    full = small(words, "real", images)
    model = nets.build("small", quantizers.find("pow2")._replace(weight=quantizers.Real))
    assert start.take_over(model, full.state_dict()) == []
    loop.calibrate(model, images)
    scores = [loop.predict(net.double(), images.pixels, torch.float64) for net in (full, model)]
    assert torch.allclose(*scores, atol=0.02)


def test_starts_from_other_images(tmp_path, tiny):
    """All but the last layer, of more classes, is that of the earlier run; uncertainty begins anew."""
    earlier, recipe = nets.build("tiny", "gradual"), Recipe(2, batch=20, quantiser="gradual")
    loop.fit(earlier, stripes(40), stripes(20), recipe, tmp_path, progress=False)
    model = nets.build("tiny", "gradual", classes=12)
    last = nets.binary_weights(model)[-1].clone()
    start.start(model, tmp_path)
    *same, ours = map(torch.equal, nets.binary_weights(model)[:-1], nets.binary_weights(earlier)[:-1])
    assert all(same) and ours and torch.equal(last, nets.binary_weights(model)[-1])
    assert torch.equal(model.norm1_2.running_mean, earlier.norm1_2.running_mean)
    assert earlier.sign1_1.act_quant.fused_activation_quant_proxy.tensor_quant.u == 0
    assert model.sign1_1.act_quant.fused_activation_quant_proxy.tensor_quant.u == 1


def test_start_of_another_network_is_refused(tmp_path, tiny):
    with pytest.raises(UserError, match=r"--start .*no checkpoint.pt; name the folder of a run"):
        start.start(tiny, tmp_path)
    loop.fit(tiny, stripes(40), stripes(20), Recipe(1, batch=20), tmp_path, progress=False)
    with pytest.raises(UserError, match="a run of another network, which has no such conv1_1"):
        start.start(nets.build("cnv"), tmp_path)
