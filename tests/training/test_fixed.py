"""Activations in fixed point."""

import pytest
import torch

from train import fixed
from train.fixed import FixedPoint


@pytest.mark.parametrize(("bits", "signed", "largest", "step"), [
    (16, False, 1.0, 2.0**-15), (16, False, 65535 / 2**16, 2.0**-16), (16, True, 3.0, 2.0**-13),
    (4, False, 15.0, 1.0), (4, False, 15.1, 2.0), (4, True, 7.0, 1.0), (8, False, 1000.0, 4.0)])
def test_binary_point_is_the_best_that_holds_what_was_seen(bits, signed, largest, step):
    quant = FixedPoint(bits, signed).train()
    quant(torch.tensor([0.1 * largest, largest]))
    value, given, zero, width = quant.eval()(torch.linspace(-2 * largest, 2 * largest, 1001))
    assert (given, zero, width) == (step, 0, bits)
    codes = value / step
    assert torch.equal(codes, codes.round())
    assert codes.min() >= (-(2**(bits - 1)) if signed else 0) and codes.max() <= 2**(bits - signed) - 1
    inside = torch.linspace(0 if not signed else -largest, largest, 1001)
    assert (quant(inside)[0] - inside).abs().max() <= step / 2 * (1 + 1e-3)


def test_range_is_that_since_it_was_forgotten():
    quant = FixedPoint(16, signed=False).train()
    quant(torch.tensor([8.0]))
    fixed.forget(torch.nn.Sequential(quant))
    quant(torch.tensor([1.0]))
    quant.eval()(torch.tensor([100.0]))
    assert quant.largest == 1


def test_gradient_is_that_of_a_clamp():
    quant = FixedPoint(8, signed=False).train()
    quant(torch.tensor([1.0]))
    x = torch.tensor([-0.5, 0.25, 0.75, 5.0], requires_grad=True)
    quant.eval()(x)[0].sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
