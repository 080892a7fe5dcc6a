"""The networks: 1-bit weights, 1-bit activations, each one line of a table and a loop over it.

Weights are ``sign(w)`` with a constant scale of 1 and ``sign(0) = +1``, their gradient passed
straight through; activations are ``sign(clamp(x, -1, 1))``, so their gradient is 1 inside (-1, 1)
and 0 outside. Quantisers and block order (convolution, BatchNorm, sign, max-pool) are those of
Brevitas' ``bnn_pynq`` examples, from which ``cnv``, ``tfc``, ``sfc`` and ``lfc`` come.

``bvgg16`` is B-VGG16 of Urbano Pintos, Lacomi and Lavorato (Elektron 6(2), 2022). Its text
contradicts itself: thirteen padded convolutions and three pools leave 4x4x512 = 8,192 values where
it gives the first dense layer 512 inputs. We read the layer list as printed and put a global 4x4
max-pool before the dense layers. ``bvgg16-flatten`` keeps the 8,192 values instead, and
``bvgg16-5pool`` pools after each of the five stacks.
"""

from collections import OrderedDict
from typing import NamedTuple

import brevitas.nn as qnn
import torch
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import nn

from gen.errors import UserError
from train.data import DATASETS


class Net(NamedTuple):
    """One network.

    Attributes
    ----------
    dataset
        A key of `train.data.DATASETS`: gives the input shape and the number of classes.
    padding
        Zeros around the input of every convolution; they are 0, neither -1 nor +1.
    layers
        ``64C3`` is a 3x3 convolution to 64 channels, ``MP2`` a 2x2 max-pool with stride 2, a bare
        number a dense layer; the last one gives the scores of the classes.
    """

    dataset: str
    padding: int
    layers: str


_CNV = "64C3 64C3 MP2 128C3 128C3 MP2 256C3 256C3 512 512 10"
_STACKS_1_TO_3 = "64C3 64C3 MP2 128C3 128C3 MP2 256C3 256C3 256C3 MP2"
_STACK = "512C3 512C3 512C3"

NETS = {
    "bvgg16": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} {_STACK} MP4 1024 10"),
    "bvgg16-flatten": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} {_STACK} 1024 10"),
    "bvgg16-5pool": Net("cifar10", 1, f"{_STACKS_1_TO_3} {_STACK} MP2 {_STACK} MP2 1024 10"),
    "cnv": Net("cifar10", 0, _CNV),
    "tfc": Net("mnist", 0, "64 64 64 10"),
    "sfc": Net("mnist", 0, "256 256 256 10"),
    "lfc": Net("mnist", 0, "1024 1024 1024 10"),
}


class _Quant(ExtendedInjector):
    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    signed = True


class BinaryWeight(_Quant, WeightQuantSolver):
    """Weights: ``sign(w)``, scale 1."""

    quant_type = QuantType.BINARY
    bit_width = 1
    narrow_range = True
    scaling_const = 1.0


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.copysign(torch.ones((), dtype=x.dtype), x + 0.0)  # -0.0 + 0.0 is +0.0

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, x, -1.0, 1.0)


class ClampedSign(nn.Module):
    """Brevitas' ``ClampedBinaryQuant`` with scale 1, several times faster on a CPU."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.register_buffer("zero_point", torch.zeros(()), persistent=False)
        self.register_buffer("bit_width", torch.ones(()), persistent=False)

    def forward(self, x):
        """Return ``sign(clamp(x, -1, 1))``, its scale, zero point and bit width."""
        return _Sign.apply(x), self.scale, self.zero_point, self.bit_width


class BinaryActivation(_Quant, ActQuantSolver):
    """Activations: ``sign(clamp(x, -1, 1))``, scale 1."""

    tensor_quant = ClampedSign
    quant_type = QuantType.BINARY
    bit_width = 1
    narrow_range = True
    min_val = -1.0
    max_val = 1.0


class Pixel(_Quant, ActQuantSolver):
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


class TensorNorm(nn.BatchNorm1d):
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


def build(name):
    """Build a network with random latent weights, uniform in (-1, 1), from torch's global seed.

    Parameters
    ----------
    name : str
        A key of `NETS`.

    Returns
    -------
    torch.nn.Sequential
        From float images `[N, C, H, W]` in [0, 1] to float scores `[N, classes]`.

    Raises
    ------
    UserError
        There is no such network.
    """
    if name not in NETS:
        raise UserError(f"no network {name!r}; there are {', '.join(NETS)}")
    net = NETS[name]
    height, width, channels = DATASETS[net.dataset].shape
    words = net.layers.split()
    convolutional = "C" in words[0]

    layers = OrderedDict(centre=Centre())
    layers["input"] = qnn.QuantIdentity(act_quant=Pixel if convolutional else BinaryActivation)
    stack, index, dense = 1, 0, 0
    for word in words:
        if word.startswith("MP"):
            size = int(word.removeprefix("MP"))
            layers[f"pool{stack}"] = nn.MaxPool2d(size)
            height, width = height // size, width // size
            stack, index = stack + 1, 0
        elif "C" in word:
            index += 1
            outputs, kernel = map(int, word.split("C"))
            layers[f"conv{stack}_{index}"] = qnn.QuantConv2d(
                channels, outputs, kernel, padding=net.padding, bias=False,
                weight_quant=BinaryWeight,
            )  # fmt: skip
            layers[f"norm{stack}_{index}"] = nn.BatchNorm2d(outputs, eps=1e-4)
            layers[f"sign{stack}_{index}"] = qnn.QuantIdentity(act_quant=BinaryActivation)
            shrink = kernel - 1 - 2 * net.padding
            channels, height, width = outputs, height - shrink, width - shrink
        else:
            if not dense:
                layers["flatten"] = nn.Flatten()
                inputs = channels * height * width
            dense += 1
            outputs = int(word)
            layers[f"dense{dense}"] = qnn.QuantLinear(inputs, outputs, bias=False, weight_quant=BinaryWeight)
            if dense < sum(word.isdigit() for word in words):
                layers[f"dense{dense}_norm"] = nn.BatchNorm1d(outputs, eps=1e-4)
                layers[f"dense{dense}_sign"] = qnn.QuantIdentity(act_quant=BinaryActivation)
            inputs = outputs
    layers["scores"] = TensorNorm()

    model = nn.Sequential(layers)
    for weight in binary_weights(model):
        nn.init.uniform_(weight, -1, 1)
    return model


def binary_weights(model):
    """Return the latent weights that are used as ``sign(w)``, one tensor a layer, first to last."""
    return [m.weight for m in model.modules() if isinstance(m, qnn.QuantConv2d | qnn.QuantLinear)]


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
