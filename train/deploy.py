"""From a network as it was trained to the one that the hardware runs."""

import torch
from torch import nn

from gen.errors import UserError
from train import nets

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
    """The same network with weights -1 and +1 and plain signs; scales of weights move into what follows.

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
    result = nets.build(net, classes=len(last)).to(last.device).eval()
    for name, layer in model.named_children():
        if name in nets.binary_layers(model):
            weight = layer.quant_weight().value
            scale = _scale(name, weight)
            getattr(result, name).weight.copy_(weight.sign())
        elif isinstance(layer, nets.TensorNorm):
            result.scores = _scores(layer, scale)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
            norm = getattr(result, name)
            norm.load_state_dict(layer.state_dict())
            norm.weight.mul_(scale)
            norm.running_mean.div_(scale)
        elif isinstance(layer, Affine):
            setattr(result, name, Affine(layer.scale * scale, layer.offset.clone()))
    return result


def _scale(name, weight):
    """The magnitude of each filter's weights."""
    magnitudes = weight.abs().flatten(1)
    scale = magnitudes.amax(1)
    if (magnitudes != scale[:, None]).any() or not (scale > 0).all():
        raise UserError(f"{name}: weights of one filter differ in magnitude, so there is no scale to fold away")
    return scale


def _scores(norm, scale):
    """The last layer's normalisation, after weights of ``scale``."""
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    offset = norm.bias - norm.running_mean * factor
    return Affine(factor * scale, offset.expand_as(scale).clone())
