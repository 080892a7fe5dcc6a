"""From a network as it was trained to the one that the hardware runs."""

import copy

import brevitas.nn as qnn
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gen.errors import UserError
from train import nets
from train.chain import Grown, Residual, TensorNorm
from train.fixed import FixedPoint
from train.powers import PowerOfTwo

__all__ = ["Affine", "deployed"]


class Affine(nn.Module):
    """``scale * x + offset``, each a number a channel, fixed."""

    def __init__(self, scale, offset):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, x):
        """Map `[N, channels, ...]`."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        return self.scale.view(shape) * x + self.offset.view(shape)


@torch.no_grad()
def deployed(model, net):
    """The same network with ready weights (-1 and +1, or powers of two) and plain signs; scales move into what follows.

    Parameters
    ----------
    model : torch.nn.Sequential
        From `train.nets.build`, with any quantiser; left as it is.
    net : str or train.nets.Net
        What it was built from.

    Returns
    -------
    torch.nn.Sequential
        In evaluation; the same scores, but for rounding.

    Raises
    ------
    UserError
        Weights of a filter have different magnitudes: there is no scale to move.
    """
    model.eval()
    last = nets.binary_weights(model)[-1]
    result, scales = nets.build(net, model.quantizer.plain, len(last)).to(last.device).eval(), {}
    for name, layer in model.named_modules():
        if isinstance(layer, qnn.QuantConv2d | qnn.QuantLinear):
            twin = result.get_submodule(name)
            twin.weight.copy_(layer.quant_weight().value)
            scales[twin] = _scale(name, twin.weight, layer.weight_quant.tensor_quant)
        elif isinstance(layer, TensorNorm):
            result.scores = _scores(layer, len(last))
        elif isinstance(layer, Affine):
            result.set_submodule(name, copy.deepcopy(layer))
        elif isinstance(layer, _BatchNorm | FixedPoint):
            result.get_submodule(name).load_state_dict(layer.state_dict())
    _divide(result, scales)
    return result


def _scale(name, weight, quant):
    """The magnitude of each filter's weights; powers of two have no scale."""
    magnitudes = weight.abs().flatten(1)
    scale = magnitudes.amax(1)
    scale = torch.where(scale == 0, 1.0, scale)  # ternary filters may be all 0
    if isinstance(quant, PowerOfTwo):
        return torch.ones_like(scale)
    if ((magnitudes != scale[:, None]) & (magnitudes > 0)).any() or not (scale > 0).all():
        raise UserError(f"{name}: weights of one filter differ in magnitude, so there is no scale to fold away")
    return scale


def _scores(norm, classes):
    """The last layer's normalisation."""
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return Affine(factor.expand(classes).clone(), (norm.bias - norm.running_mean * factor).expand(classes).clone())


@torch.no_grad()
def _divide(module, scales, scale=None):
    """Divide weights, and let what follows undo it: the same scores, in training, too (but for BatchNorm's epsilon).

    Parameters
    ----------
    module : torch.nn.Module
        A network, or a part of one; changed in place.
    scales : dict
        What each layer's weights are divided by, a number an output.
    scale : torch.Tensor, optional
        What the inputs of ``module`` have been divided by, a number a channel.

    Returns
    -------
    torch.Tensor
        What its outputs are divided by.
    """
    if module in scales:
        shape = (-1, *[1] * (module.weight.dim() - 1))
        module.weight.div_(scales[module].view(shape))
        return scales[module]
    if isinstance(module, Residual):
        _divide(module.body, scales, scale)
        _divide(module.shortcut, scales, scale)
        return scale
    if isinstance(module, Grown):
        return torch.cat([scale, _divide(module.body, scales, scale)])
    if isinstance(module, nn.Sequential):
        for name, child in module.named_children():
            if isinstance(child, qnn.QuantIdentity) and scale is not None and (scale != 1).any():
                setattr(module, name, nn.Sequential(Affine(scale, torch.zeros_like(scale)), child))
                scale = torch.ones_like(scale)
            scale = _divide(child, scales, scale)
    elif isinstance(module, Affine):
        module.scale.mul_(scale)
        return torch.ones_like(scale)
    elif isinstance(module, _BatchNorm):
        factor = scale[:len(module.running_mean)]  # TensorNorm has but one
        variance = module.running_var + module.eps
        module.running_mean.div_(factor)
        module.running_var.div_(factor * factor)
        module.weight.mul_(factor * torch.sqrt((module.running_var + module.eps) / variance))
        return torch.ones_like(scale)
    return scale
