"""Layers become what the hardware computes, from the input on, while the rest goes on learning.

A frozen layer has signs for weights, and an integer threshold for BatchNorm and sign: with s the integer sum, mean m,
deviation d, gain g and offset b, BatchNorm is not negative where s >= m - b d / g (g > 0) or s <= that (g < 0). After
the last one is frozen the graph that was trained is the graph that is executed.
"""

import torch
from torch import nn

from gen.errors import UserError
from train import nets
from train.deploy import Affine

__all__ = ["freeze", "threshold"]

PIXEL = 2.0**-7  # what the first sums of an 8-bit input are multiples of


def threshold(norm, unit):
    """:class:`Affine` whose sign, for multiples of ``unit``, is that of ``norm`` in evaluation; never 0."""
    gain, offset, mean, variance = (tensor.detach().double() for tensor in (
        norm.weight, norm.bias, norm.running_mean, norm.running_var))
    limit = (mean - offset * torch.sqrt(variance + norm.eps) / gain) / unit
    limit = torch.where(gain > 0, torch.ceil(limit) - 0.5, torch.floor(limit) + 0.5)
    constant = torch.where(offset >= 0, 0.5, -0.5).double()
    scale = gain.sign()
    return Affine(scale.float(), torch.where(scale == 0, constant, -scale * unit * limit).float())


@torch.no_grad()
def freeze(model, count):
    """Freeze the first ``count`` binary layers of ``model``, in place; those that are frozen already stay so.

    Raises
    ------
    UserError
        A layer's weights have a scale other than 1, or activations are no signs.
    """
    if not count:
        return
    if model.quantizer.rectified:
        raise UserError("layers cannot be frozen: their activations are not signs; set freeze to 0")
    model.eval()
    layers, hidden = nets.binary_layers(model), nets.hidden_layers(model)
    for number, (name, layer) in enumerate(list(layers.items())[:count]):
        if not layer.weight.requires_grad:
            continue
        weight = layer.quant_weight().value
        if (weight.abs() != 1).any():
            raise UserError(f"{name} cannot be frozen: its weights are not -1 and +1; use a quantiser without a scale")
        layer.weight.copy_(weight)
        layer.weight.requires_grad_(False)
        layer.weight_quant.tensor_quant.settle()
        if number < len(hidden):
            _, norm, sign = hidden[number]
            unit = PIXEL if number == 0 and isinstance(layer, nn.Conv2d) else 1.0
            setattr(model, norm, threshold(getattr(model, norm), unit))
            getattr(model, sign).act_quant.fused_activation_quant_proxy.tensor_quant.settle()
