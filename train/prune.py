"""Whole filters are removed while the network learns, and the smaller network is exported.

After the main/subsidiary framework of Xu et al. 2019 (BMVC, "A Main/Subsidiary Network Framework for Simplifying Binary
Neural Networks"): beside the binary network learns a subsidiary one of one real number a filter, whose sign tells
whether the filter is there, with the gradient passed straight through. Here the largest numbers stay rather than the
positive ones, so that one asks for a size and gets it; and all layers learn at once. What a filter that is away gives
is 0, which is no sign: the network without it computes the same, at padded borders too.
"""

import torch
from torch import nn

from train import nets
from train.deploy import Affine
from train.quantizers import through

__all__ = ["Gate", "add_gates", "removed"]

STEP = 8  # filters stay in multiples of this, so that layers can still be folded


class Gate(nn.Module):
    """Passes the ``count`` channels with the largest ``importance``; 0 in place of the others."""

    def __init__(self, channels, keep):
        super().__init__()
        self.importance = nn.Parameter(torch.linspace(1.001, 0.999, channels))  # no two alike
        self.least = min(channels, max(STEP, STEP * round(keep * channels / STEP)))
        self.register_buffer("count", torch.tensor(channels))

    def anneal(self, progress):
        """Close gates over the first half of the training, ``progress`` in [0, 1]."""
        channels = len(self.importance)
        self.count.fill_(round(channels - (channels - self.least) * min(1.0, 2 * progress)))

    def mask(self):
        """1 for channels that stay, else 0, `[channels]`."""
        rank = self.importance.argsort(descending=True, stable=True).argsort()
        return (rank < self.count).to(self.importance.dtype)

    def forward(self, x):
        """Gate `[N, channels, ...]`; an importance learns as if it were a factor."""
        gate = through(self.mask(), self.importance)
        return x * gate.to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))


def add_gates(model, keep):
    """Put a gate after every activation but the input's, in place; layers keep their names."""
    for product, _, sign in nets.hidden_layers(model):
        gate = Gate(len(getattr(model, product).weight), keep)
        getattr(model, sign).add_module("gate", gate)
        getattr(model, sign).register_forward_hook(lambda module, _, output: module.gate(output))


@torch.no_grad()
def removed(model, plain, net):
    """The network without the filters whose gates are closed.

    Parameters
    ----------
    model : torch.nn.Sequential
        With gates.
    plain : torch.nn.Sequential
        The same as :func:`train.deploy.deployed` gives it, without gates.
    net : train.nets.Net
        What both were built from.

    Returns
    -------
    net : train.nets.Net
        With as many filters as stay.
    plain : torch.nn.Sequential
        Its scores are those of `model`.
    """
    kept = {product: getattr(model, sign).gate.mask().nonzero()[:, 0] for product, _, sign in nets.hidden_layers(model)}
    scores, last = list(nets.binary_layers(plain).items())[-1]
    smaller = net.resized([*map(len, kept.values()), len(last.weight)])
    result = nets.build(smaller, plain.quantizer).to(last.weight.device).eval()
    inputs = None
    for product, norm, activation in nets.hidden_layers(plain):
        weight = getattr(plain, product).weight[kept[product]]
        getattr(result, product).weight.copy_(weight if inputs is None else _of(inputs, weight))
        _slice(result, norm, getattr(plain, norm), kept[product])
        getattr(result, activation).load_state_dict(getattr(plain, activation).state_dict())
        inputs = kept[product], getattr(plain, product).weight.shape[0]
    getattr(result, scores).weight.copy_(_of(inputs, last.weight))
    result.scores = plain.scores
    return smaller, result


def _of(inputs, weight):
    """Those weights whose inputs stay: ``inputs`` holds their numbers, and how many there were."""
    rows, count = inputs
    flat = weight.unflatten(1, (count, -1))[:, rows]  # of a flattened picture each channel has several inputs
    return flat.flatten(1, 2)


def _slice(result, name, norm, rows):
    """Give ``result`` the channels ``rows`` of a BatchNorm, or of the Affine in its place."""
    state = {key: value[rows] if value.dim() else value for key, value in norm.state_dict().items()}
    if isinstance(norm, Affine):
        setattr(result, name, Affine(**state))
    else:
        getattr(result, name).load_state_dict(state)
