"""The networks: each one line of a table, whose words `train.chain` makes layers of.

How weights and activations are quantised is up to `train.quantizers`; by default they become signs as in Brevitas'
``bnn_pynq`` examples, from which block order (convolution, BatchNorm, sign, max-pool) and ``cnv``,
``tfc``, ``sfc`` and ``lfc`` come, too.

``bvgg16`` is B-VGG16 of Urbano Pintos, Lacomi and Lavorato (Elektron 6(2), 2022). Its text
contradicts itself: thirteen padded convolutions and three pools leave 4x4x512 = 8,192 values where
it gives the first dense layer 512 inputs. We read the layer list as printed and put a global 4x4
max-pool before the dense layers. ``bvgg16-flatten`` keeps the 8,192 values instead, and
``bvgg16-5pool`` pools after each of the five stacks.

``cnn6`` and ``cnn10`` are small nets of the group that published UBQ (4.6-bit quantisation, Trusov et al.), ``cnn7``
and ``cnn8`` ours, between the two; ``lenet`` is LeNet-5's shape, ``lenet2`` and ``lenet4`` are wider.

The networks after them are those of n-BQ-NN (Chen et al., IEEE TNNLS, 2020), for power-of-two weights: ``tbqnn`` as
printed, and the usual ResNets and DenseNet-BC for small images. In ``alexnet`` BatchNorm takes the place of LRN; its
last layer, which the authors leave in full precision, is quantised like the others. ``tbqnn4`` has a quarter of the
channels, and ``resnet8`` is for MNIST: what two cores train.
"""

import re
from typing import NamedTuple

import brevitas.nn as qnn
import torch
from torch import nn

from gen.errors import UserError
from train import quantizers
from train.chain import Chain
from train.data import DATASETS


class Net(NamedTuple):
    """One network.

    Attributes
    ----------
    dataset
        A key of `train.data.DATASETS`: what the network is for, unless told otherwise; gives the input shape.
    padding
        Zeros around the input of every convolution but 1x1 ones; they are 0, neither -1 nor +1.
    layers
        ``64C3`` is a 3x3 convolution to 64 channels with BatchNorm and activation, ``64C3s2`` one with a stride,
        ``64C3p1`` one with a padding of its own; ``64L3`` is without activation, ``64K3`` also without
        BatchNorm, ``N`` the two alone. ``MP2`` is a 2x2 max-pool, ``AP2`` an average,
        with the same stride unless it is told (``MP3s2``). ``64R3`` is a residual block of two 3x3 convolutions,
        ``12G3`` adds 12 channels as a DenseNet does, through a bottleneck of 48. A bare number is a dense layer. The
        last layer with a number of outputs gives the classes' scores, and gives way to the number that `build` is told.
    recipe
        How it is trained unless told otherwise.
    size
        Height, width and channels of images, where there is no data set of that shape.
    """

    dataset: str
    padding: int
    layers: str
    recipe: str = ""
    size: tuple[int, int, int] = ()

    @property
    def shape(self):
        """Height, width and channels of the images that it takes."""
        return self.size or DATASETS[self.dataset].shape

    def resized(self, widths):
        """The same network with other numbers of outputs, one for each convolution and dense layer."""
        outputs = iter(widths)
        return self._replace(layers=" ".join(
            re.sub(r"^\d+", str(next(outputs)), word) if word[0].isdigit() else word
            for word in self.layers.split()))


_CNV = "64C3 64C3 MP2 128C3 128C3 MP2 256C3 256C3 512 512 10"
_STACKS_1_TO_3 = "64C3 64C3 MP2 128C3 128C3 MP2 256C3 256C3 256C3 MP2"
_STACK = "512C3 512C3 512C3"


def _resnet(blocks):
    """ResNet of He et al. (2016) for small images, with ``blocks`` residual blocks a stage."""
    more = blocks - 1
    return " ".join(["16C3", *["16R3"] * blocks, "32R3s2", *["32R3"] * more, "64R3s2", *["64R3"] * more, "AP8", "10"])


def _densenet(layers, growth):
    """DenseNet-BC of Huang et al. (2017) for small images, with ``layers`` dense layers a stage."""
    words, channels = [f"{2 * growth}K3"], 2 * growth
    for stage in range(3):
        words += [f"{growth}G3"] * layers + ["N"]
        channels = (channels + layers * growth) // 2
        words += [f"{channels}K1", "AP2"] if stage < 2 else ["AP8", "10"]
    return " ".join(words)


NETS = {
    "bvgg16": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} {_STACK} MP4 1024 10"),
    "bvgg16-flatten": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} {_STACK} 1024 10"),
    "bvgg16-5pool": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} MP2 {_STACK} MP2 1024 10"),
    "cnv": Net("cifar10", 0, _CNV),
    "cnn6": Net("mnist", 0, "4C1p2 8C5 MP2 16C3 MP2 32C3 MP2 64C2 10"),
    "cnn7": Net("mnist", 0, "4C1p2 8C5 MP2 16C3 MP2 32C3p1 32C3 MP2 64C2 10"),
    "cnn8": Net("mnist", 0, "8C1p2 8C5 MP2 16C3p1 32C3 MP2 32C3p1 64C3 MP2 128C2 10"),
    "cnn10": Net("mnist", 0, "8C1p2 16C3p1 32C3p1 MP2 32C3p1 64C3p1 MP2 64C3 64C3 128C3 256C2 10"),
    "lenet": Net("mnist", 0, "6C5p2 MP2 16C5 MP2 120 84 10"),
    "lenet2": Net("mnist", 0, "12C5p2 MP2 32C5 MP2 240 168 10"),
    "lenet4": Net("mnist", 0, "24C5p2 MP2 64C5 MP2 480 336 10"),
    "tfc": Net("mnist", 0, "64 64 64 10"),
    "sfc": Net("mnist", 0, "256 256 256 10"),
    "lfc": Net("mnist", 0, "1024 1024 1024 10"),
    "tbqnn": Net("cifar10", 1, "128C3 128C3 128C3 MP2 256C3 256C3 256C3 MP2 512C3 1024C1 10C1 AP8", "powers"),
    "tbqnn4": Net("cifar10", 1, "32C3 32C3 32C3 MP2 64C3 64C3 64C3 MP2 128C3 256C1 10C1 AP8", "powers"),
    "resnet8": Net("mnist", 1, "8C3 8R3 16R3s2 32R3s2 AP7 10", "powers"),
    "resnet20": Net("cifar10", 1, _resnet(3), "powers-resnet"),
    "resnet110": Net("cifar10", 1, _resnet(18), "powers-resnet"),
    "densenet100": Net("cifar10", 1, _densenet(16, 12), "powers-densenet"),
    "densenet22": Net("cifar10", 1, _densenet(3, 4), "powers-densenet"),
    "alexnet": Net("", 1, "64C11s4p2 MP3s2 192C5p2 MP3s2 384C3 384C3 256C3 MP3s2 4096 4096 1000", "powers",
                   (224, 224, 3)),
}


class Network(nn.Sequential):
    """A network; ``quantizer`` is what it is made of."""

    def forward(self, x):
        """Map float images `[N, C, H, W]` in [0, 1] to scores `[N, classes]`."""
        return super().forward(x)  # a method of our own: torch.compile looks into no container of PyTorch's as a whole


def find(name):
    """The network called ``name``; :class:`UserError` if there is none."""
    if name not in NETS:
        raise UserError(f"no network {name!r}; there are {', '.join(NETS)}")
    return NETS[name]


def build(net, quantiser="ste", classes=None):
    """Build a network with random latent weights from torch's global seed.

    Parameters
    ----------
    net : str or Net
        A key of `NETS`, or a network like those in it.
    quantiser : str or train.quantizers.Quantizer
        Or a key of `train.quantizers.QUANTIZERS`.
    classes : int
        Scores, instead of the net's own number.

    Returns
    -------
    Network

    Raises
    ------
    UserError
        There is no such network or quantiser.
    """
    net = find(net) if isinstance(net, str) else net
    quantizer = quantizers.find(quantiser) if isinstance(quantiser, str) else quantiser
    words, (height, width, channels) = net.layers.split(), net.shape
    if classes:
        last = max(place for place, word in enumerate(words) if word[0].isdigit())
        words[last] = re.sub(r"^\d+", str(classes), words[last])
    chain = Chain((channels, height, width), net.padding, quantizer)
    chain.pixels(signs=words[0].isdigit())
    for word in words[:-1]:
        chain.add(word)
    chain.add(words[-1], last=True)

    model = Network(chain.layers)
    model.quantizer = quantizer
    for weight in binary_weights(model):
        nn.init.kaiming_normal_(weight) if quantizer.rectified else nn.init.uniform_(weight, -1, 1)
    return model


@torch.no_grad()
def thin(model, inputs):
    """Leave each output of a dense layer the weights of so many ``inputs``, at random places; the others become 0."""
    for weight in binary_weights(model):
        if weight.dim() == 2 and inputs < weight.shape[1]:
            places = torch.rand_like(weight).topk(inputs).indices
            weight.copy_(torch.zeros_like(weight).scatter(1, places, weight.gather(1, places)))


def binary_layers(model):
    """Return the convolutions and dense layers, by name, first to last."""
    return {name: m for name, m in model.named_modules() if isinstance(m, qnn.QuantConv2d | qnn.QuantLinear)}


def binary_weights(model):
    """Return the latent weights, one tensor a layer, first to last."""
    return [layer.weight for layer in binary_layers(model).values()]


def hidden_layers(model):
    """Names of each convolution or dense layer but the last, of its BatchNorm and of its activation, first to last.

    Raises
    ------
    UserError
        The network is no plain chain that ends with a dense layer.
    """
    names, products = list(dict(model.named_children())), binary_layers(model)
    if "scores" not in names or not products.keys() <= set(names):
        raise UserError("only a plain chain of layers, the last one dense, can be frozen or pruned")
    places = [names.index(name) for name in products]
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
