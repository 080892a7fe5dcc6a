"""Networks: shapes, signs and padding, against Brevitas' own quantisers."""

import numpy as np
import pytest
import torch
from brevitas.core.quant import ClampedBinaryQuant
from brevitas.core.scaling import ConstScaling

from train import deploy, loop, nets, quantizers


@pytest.mark.parametrize(
    "name, count",
    [
        ("bvgg16", 15_244_992),
        ("bvgg16-flatten", 15_244_992 + (8192 - 512) * 1024),
        ("bvgg16-5pool", 15_244_992),
        ("cnv", 1_542_848),
        ("tfc", 784 * 64 + 2 * 64 * 64 + 640),
        ("sfc", 784 * 256 + 2 * 256 * 256 + 2560),
        ("cnn6", 4 + 4 * 8 * 25 + 8 * 16 * 9 + 16 * 32 * 9 + 32 * 64 * 4 + 640),
        ("lenet", 6 * 25 + 6 * 16 * 25 + 400 * 120 + 120 * 84 + 840),
        ("lfc", 784 * 1024 + 2 * 1024 * 1024 + 10240),
    ],
)
def test_weights_and_shapes(name, count):
    model = nets.build(name).eval()
    assert sum(weight.numel() for weight in nets.binary_weights(model)) == count
    height, width, channels = nets.NETS[name].shape
    with torch.no_grad():
        assert model(torch.rand(2, channels, height, width)).shape == (2, 10)


@pytest.mark.parametrize(("name", "count", "classes"), [
    ("tbqnn", 3_487_104, 10),  # as the paper prints it
    ("resnet8", 8 * 9 + 2 * 64 * 9 + (128 + 256 + 512 + 1024) * 9 + 8 * 16 + 16 * 32 + 320, 10),
    ("resnet20", 432 + 6 * 2304 + 4608 + 5 * 9216 + 18432 + 5 * 36864 + 16 * 32 + 32 * 64 + 640, 10),
    ("densenet22", 8_040, 10),
    ("alexnet", 61_827_776, 1000),
])
def test_networks_for_powers_of_two(name, count, classes):
    with torch.device("meta"):  # shapes alone
        model = nets.build(name, "pow2").eval()
        height, width, channels = nets.NETS[name].shape
        with torch.no_grad():
            assert model(torch.rand(2, channels, height, width)).shape == (2, classes)
    assert sum(weight.numel() for weight in nets.binary_weights(model)) == count


def test_deep_networks():
    assert [len(nets.NETS[name].layers.split()) for name in ("resnet20", "resnet110")] == [1 + 9 + 2, 1 + 54 + 2]
    words = nets.NETS["densenet100"].layers.split()
    assert words.count("12G3") == 48 and words[0] == "24K3" and words[-1] == "10"
    assert [word for word in words if word.endswith("K1")] == ["108K1", "150K1"]  # half of 24 + 192, and of 108 + 192


def test_no_such_network():
    with pytest.raises(ValueError, match=r"no network 'vgg'; there are bvgg16"):
        nets.build("vgg")


def test_sign_is_brevitas_sign():
    x = torch.tensor([-3.0, -1.0, -0.5, -1e-40, -0.0, 0.0, 1e-40, 0.5, 1.0, 3.0])
    results = []
    for quantiser in quantizers.ClampedSign(), ClampedBinaryQuant(ConstScaling(1.0)):
        leaf = x.clone().requires_grad_()
        y = quantiser(leaf)[0]
        (y * torch.arange(1.0, 11.0)).sum().backward()
        results.append((y.tolist(), leaf.grad[x.abs() != 1].tolist()))
    assert results[0] == results[1]


def test_weights_are_signs_and_gradients_pass_straight_through(tiny):
    layer = tiny.dense2
    with torch.no_grad():
        layer.weight[0, :3] = torch.tensor([0.0, 1.0, -1e-9])
    signs = torch.where(layer.weight >= 0, 1.0, -1.0)
    assert torch.equal(layer.quant_weight().value, signs)
    x = torch.rand(5, 32)
    layer(x).sum().backward()
    assert torch.allclose(layer.weight.grad, x.sum(0).expand(10, 32))


def test_pixels_are_q1_7(tiny):
    x = loop.scale(torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256))
    codes = tiny.input(tiny.centre(x)).flatten() * 128
    exact = (2 * np.arange(256) / 255 - 1) * 128
    assert codes.tolist() == np.clip(np.rint(exact), -128, 127).tolist()


def test_padding_is_zero(tiny):
    ones = torch.ones(1, 8, 8, 8)
    signs = torch.where(tiny.conv1_2.weight >= 0, 1.0, -1.0)
    assert torch.equal(tiny.conv1_2(ones)[0, :, 0, 0], signs[:, :, 1:, 1:].sum((1, 2, 3)))


@pytest.mark.parametrize("classes", [None, 2, 100])
def test_as_many_scores_as_classes(classes):
    model = nets.build("tfc", classes=classes).eval()
    with torch.no_grad():
        assert model(torch.rand(3, 1, 28, 28)).shape == (3, classes or 10)
        assert deploy.deployed(model, "tfc")(torch.rand(3, 1, 28, 28)).shape == (3, classes or 10)


def test_resized():
    net = nets.NETS["lenet"].resized([8, 16, 100, 80, 5])
    assert net.layers == "8C5p2 MP2 16C5 MP2 100 80 5"
    assert [len(weight) for weight in nets.binary_weights(nets.build(net))] == [8, 16, 100, 80, 5]
