"""The networks: 1-bit weights, 1-bit activations, each one line of a table and a loop over it.

How weights and activations become signs is up to `train.quantizers`; by default as in Brevitas'
``bnn_pynq`` examples, from which block order (convolution, BatchNorm, sign, max-pool) and ``cnv``,
``tfc``, ``sfc`` and ``lfc`` come, too.

``bvgg16`` is B-VGG16 of Urbano Pintos, Lacomi and Lavorato (Elektron 6(2), 2022). Its text
contradicts itself: thirteen padded convolutions and three pools leave 4x4x512 = 8,192 values where
it gives the first dense layer 512 inputs. We read the layer list as printed and put a global 4x4
max-pool before the dense layers. ``bvgg16-flatten`` keeps the 8,192 values instead, and
``bvgg16-5pool`` pools after each of the five stacks.

``cnn6`` and ``cnn10`` are small nets of the group that published UBQ (4.6-bit quantisation, Trusov et al.);
``lenet`` is LeNet-5's shape, ``lenet4`` four times as wide.
"""

import re
from collections import OrderedDict
from typing import NamedTuple

import brevitas.nn as qnn
import torch
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import RestrictValueType
from brevitas.quant.solver import ActQuantSolver
from torch import nn

from gen.errors import UserError
from train import quantizers
from train.data import DATASETS
from train.parallel import Norm1d, Norm2d
from train.quantizers import Injector


class Net(NamedTuple):
    """One network.

    Attributes
    ----------
    dataset
        A key of `train.data.DATASETS`: what the network is for, unless told otherwise; gives the input shape.
    padding
        Zeros around the input of every convolution; they are 0, neither -1 nor +1.
    layers
        ``64C3`` is a 3x3 convolution to 64 channels, ``64C3p1`` one with a padding of its own, ``MP2``
        a 2x2 max-pool with stride 2, a bare number a dense layer; the last gives the classes' scores,
        and gives way to the number of classes that `build` is told.
    """

    dataset: str
    padding: int
    layers: str

    @property
    def shape(self):
        """Height, width and channels of the images that it takes."""
        return DATASETS[self.dataset].shape

    def resized(self, widths):
        """The same network with other numbers of outputs, one for each convolution and dense layer."""
        outputs = iter(widths)
        return self._replace(layers=" ".join(
            word if word.startswith("MP") else re.sub(r"^\d+", str(next(outputs)), word)
            for word in self.layers.split()))


_CNV = "64C3 64C3 MP2 128C3 128C3 MP2 256C3 256C3 512 512 10"
_STACKS_1_TO_3 = "64C3 64C3 MP2 128C3 128C3 MP2 256C3 256C3 256C3 MP2"
_STACK = "512C3 512C3 512C3"

NETS = {
    "bvgg16": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} {_STACK} MP4 1024 10"),
    "bvgg16-flatten": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} {_STACK} 1024 10"),
    "bvgg16-5pool": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} MP2 {_STACK} MP2 1024 10"),
    "cnv": Net("cifar10", 0, _CNV),
    "cnn6": Net("mnist", 0, "4C1p2 8C5 MP2 16C3 MP2 32C3 MP2 64C2 10"),
    "cnn10": Net("mnist", 0, "8C1p2 16C3p1 32C3p1 MP2 32C3p1 64C3p1 MP2 64C3 64C3 128C3 256C2 10"),
    "lenet": Net("mnist", 0, "6C5p2 MP2 16C5 MP2 120 84 10"),
    "lenet4": Net("mnist", 0, "24C5p2 MP2 64C5 MP2 480 336 10"),
    "tfc": Net("mnist", 0, "64 64 64 10"),
    "sfc": Net("mnist", 0, "256 256 256 10"),
    "lfc": Net("mnist", 0, "1024 1024 1024 10"),
}


class Pixel(Injector, ActQuantSolver):
    """Input of the CIFAR networks: 8-bit signed fixed point Q1.7, scale 1/128."""

    quant_type = QuantType.INT
    bit_width = 8
    narrow_range = False
    restrict_scaling_type = RestrictValueType.POWER_OF_TWO
    min_val = -1.0
    max_val = 1.0 - 2.0**-7


class Centre(nn.Module):
    """``2x - 1``: from pixel / 255 in [0, 1] to [-1, 1]."""

    def forward(self, x):
        """Map [0, 1] to [-1, 1], any shape."""
        return 2.0 * x - 1.0


class TensorNorm(Norm1d):
    """BatchNorm over all scores at once: one scale and one offset, which leave argmax alone.

    Scores are `[N, classes]`. Once trained it is ``scores * scale + offset``, and is exported so.
    """

    def __init__(self):
        super().__init__(1, eps=1e-4)

    def forward(self, x):
        """Normalise `[N, classes]` scores."""
        if self.training:
            return super().forward(x.reshape(-1, 1)).reshape(x.shape)
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return x * scale + (self.bias - self.running_mean * scale)


class _Chain:
    """Layers in the making, and the shape of what they give."""

    def __init__(self, net, quantiser):
        self.height, self.width, self.channels = net.shape
        self.weight, self.activation = quantizers.find(quantiser).injectors()
        # Quantisers that learn or change would blur the input; signs of the pixels stay signs.
        pixel = Pixel if "C" in net.layers.split()[0] else quantizers.find("ste").injectors()[1]
        self.layers = OrderedDict(centre=Centre(), input=qnn.QuantIdentity(act_quant=pixel))
        self.stack, self.index = 1, 0

    def pool(self, size):
        self.layers[f"pool{self.stack}"] = nn.MaxPool2d(size)
        self.height, self.width = self.height // size, self.width // size
        self.stack, self.index = self.stack + 1, 0

    def conv(self, outputs, kernel, padding):
        self.index += 1
        name = f"{self.stack}_{self.index}"
        self.layers[f"conv{name}"] = qnn.QuantConv2d(
            self.channels, outputs, kernel, padding=padding, bias=False, weight_quant=self.weight)
        self.layers[f"norm{name}"] = Norm2d(outputs, eps=1e-4)
        self.layers[f"sign{name}"] = qnn.QuantIdentity(act_quant=self.activation)
        self.channels = outputs
        self.height, self.width = (size - kernel + 1 + 2 * padding for size in (self.height, self.width))

    def dense(self, name, outputs, last):
        self.layers[name] = qnn.QuantLinear(self.channels, outputs, bias=False, weight_quant=self.weight)
        if not last:
            self.layers[f"{name}_norm"] = Norm1d(outputs, eps=1e-4)
            self.layers[f"{name}_sign"] = qnn.QuantIdentity(act_quant=self.activation)
        self.channels = outputs

    def flatten(self):
        self.layers["flatten"] = nn.Flatten()
        self.channels *= self.height * self.width


def find(name):
    """The network called ``name``; :class:`UserError` if there is none."""
    if name not in NETS:
        raise UserError(f"no network {name!r}; there are {', '.join(NETS)}")
    return NETS[name]


def build(net, quantiser="ste", classes=None):
    """Build a network with random latent weights, uniform in (-1, 1), from torch's global seed.

    Parameters
    ----------
    net : str or Net
        A key of `NETS`, or a network like those in it.
    quantiser : str
        A key of `train.quantizers.QUANTIZERS`.
    classes : int
        Scores, instead of the last number in the net's layers.

    Returns
    -------
    torch.nn.Sequential
        From float images `[N, C, H, W]` in [0, 1] to float scores `[N, classes]`.

    Raises
    ------
    UserError
        There is no such network or quantiser.
    """
    net = find(net) if isinstance(net, str) else net
    chain, words = _Chain(net, quantiser), net.layers.split()
    dense = [word for word in words if word.isdigit()]
    for word in words[:len(words) - len(dense)]:
        if word.startswith("MP"):
            chain.pool(int(word.removeprefix("MP")))
        else:
            outputs, kernel, padding = re.fullmatch(r"(\d+)C(\d+)(?:p(\d+))?", word).groups()
            chain.conv(int(outputs), int(kernel), net.padding if padding is None else int(padding))
    chain.flatten()
    for number, outputs in enumerate(dense[:-1], 1):
        chain.dense(f"dense{number}", int(outputs), last=False)
    chain.dense(f"dense{len(dense)}", classes or int(dense[-1]), last=True)
    chain.layers["scores"] = TensorNorm()

    model = nn.Sequential(chain.layers)
    for weight in binary_weights(model):
        nn.init.uniform_(weight, -1, 1)
    return model


def binary_layers(model):
    """Return the convolutions and dense layers, by name, first to last."""
    return {name: m for name, m in model.named_children() if isinstance(m, qnn.QuantConv2d | qnn.QuantLinear)}


def binary_weights(model):
    """Return the latent weights, one tensor a layer, first to last."""
    return [layer.weight for layer in binary_layers(model).values()]


def hidden_layers(model):
    """Names of each convolution or dense layer but the last, of its BatchNorm and of its sign, first to last."""
    names = list(dict(model.named_children()))
    places = [names.index(name) for name in binary_layers(model)]
    return [tuple(names[place:place + 3]) for place in places[:-1]]


@torch.no_grad()
def balance_pools(model):
    """Set BatchNorm offsets so that max-pools of an untrained network pass on as many -1 as +1.

    Without it nearly every 4x4 maximum of random signs is +1, and every image gets the same scores.
    Of k*k independent signs the maximum is balanced if each is -1 with probability 2^(-1/k^2).
    """
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            norm = layer
        elif isinstance(layer, nn.MaxPool2d):
            below = torch.tensor(0.5 ** (1 / layer.kernel_size**2))
            norm.bias.fill_(-torch.special.ndtri(below).item())
