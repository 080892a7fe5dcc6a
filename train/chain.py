"""Layers in the making: what the words of `train.nets` become."""

import re
from collections import OrderedDict

import brevitas.nn as qnn
import torch
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import RestrictValueType
from brevitas.quant.solver import ActQuantSolver
from torch import nn

from train import quantizers
from train.parallel import Norm1d, Norm2d
from train.tensor_quant import Injector

__all__ = ["Chain", "Grown", "Residual", "TensorNorm"]

_WORD = re.compile(r"(\d*)(MP|AP|[CLKNRG]?)(\d*)(?:s(\d+))?(?:p(\d+))?")


class Pixel(Injector, ActQuantSolver):
    """Input of networks that begin with a convolution: 8-bit signed fixed point Q1.7, scale 1/128."""

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


class Residual(nn.Module):
    """``body(x) + shortcut(x)``."""

    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        """Map `[N, C, H, W]`."""
        return self.body(x) + self.shortcut(x)


class Grown(nn.Module):
    """The channels of ``x``, and those of ``body(x)``."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        """Map `[N, C, H, W]`."""
        return torch.cat([x, self.body(x)], 1)


class Chain:
    """Layers one after the other, as the words of `train.nets.Net` ask for them.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of what comes in.
    padding : int
        Zeros around the input of every convolution larger than 1x1 that has no padding of its own.
    quantizer : train.quantizers.Quantizer
        Makes weights and activations.
    stack : int
        First part of the layers' numbers; 0: they have but one.
    """

    def __init__(self, shape, padding, quantizer, stack=1):
        self.channels, self.height, self.width = shape
        self.padding, self.quantizer = padding, quantizer
        self.activation = "relu" if quantizer.rectified else "sign"
        self.layers = OrderedDict()
        self.stack, self.index, self.denses = stack, 0, 0

    def pixels(self, signs):
        """Take images, as fixed point or as signs."""
        # Quantisers that learn or change would blur the input; signs of the pixels stay signs.
        pixel = quantizers.find("ste").activate() if signs else qnn.QuantIdentity(act_quant=Pixel)
        self.layers |= {"centre": Centre(), "input": pixel}

    def add(self, word, last=False):
        """Add what ``word`` asks for; the last one gives scores."""
        outputs, kind, size, stride, padding = _WORD.fullmatch(word).groups()
        outputs, size, stride, padding = (int(text) if text else None for text in (outputs, size, stride, padding))
        if not kind:
            self._dense(outputs, last)
        elif kind in ("MP", "AP"):
            self._pool(kind, size, stride or size, last)
        elif kind == "R":
            self._residual(outputs, size, stride or 1)
        elif kind == "G":
            self._grow(outputs, size)
        else:
            self._layer(kind, outputs, size, stride or 1, padding)

    def _layer(self, kind, outputs, size, stride, padding):
        number = self._numbered()
        if kind != "N":
            padding = self.padding * (size > 1) if padding is None else padding
            self.layers[f"conv{number}"] = qnn.QuantConv2d(
                self.channels, outputs, size, stride, padding, bias=False, weight_quant=self.quantizer.weights())
            self.channels = outputs
            self._slide(size, stride, padding)
        if kind != "K":
            self.layers[f"norm{number}"] = Norm2d(self.channels, eps=1e-4)
        if kind in "CN":
            self.layers[f"{self.activation}{number}"] = self.quantizer.activate()
        else:
            self.layers[f"fixed{number}"] = self.quantizer.branch()

    def _residual(self, outputs, size, stride):
        if stride > 1:
            self.stack, self.index = self.stack + 1, 0
        number = self._numbered()
        body = self._inside(f"{outputs}C{size}s{stride}", f"{outputs}L{size}")
        straight = stride == 1 and outputs == self.channels
        shortcut = self._inside() if straight else self._inside(f"{outputs}L1s{stride}")
        self.layers[f"block{number}"] = Residual(nn.Sequential(body.layers), nn.Sequential(shortcut.layers))
        self.layers[f"{self.activation}{number}"] = self.quantizer.activate()
        self.channels, self.height, self.width = body.channels, body.height, body.width

    def _grow(self, outputs, size):
        body = self._inside("N", f"{4 * outputs}C1", f"{outputs}K{size}")
        self.layers[f"block{self._numbered()}"] = Grown(nn.Sequential(body.layers))
        self.channels += outputs

    def _inside(self, *words):
        """The inside of a block."""
        chain = Chain((self.channels, self.height, self.width), self.padding, self.quantizer, stack=0)
        for word in words:
            chain.add(word)
        return chain

    def _pool(self, kind, size, stride, last):
        self.layers[f"pool{self.stack}"] = {"MP": nn.MaxPool2d, "AP": nn.AvgPool2d}[kind](size, stride)
        self._slide(size, stride)
        if last:
            self._flatten()
        elif kind == "AP":
            self.layers[f"fixed{self.stack}"] = self.quantizer.branch()
        self.stack, self.index = self.stack + 1, 0

    def _dense(self, outputs, last):
        if not self.denses:
            self._flatten()
        self.denses += 1
        name = f"dense{self.denses}"
        self.layers[name] = qnn.QuantLinear(
            self.channels, outputs, bias=False, weight_quant=self.quantizer.weights())
        self.channels = outputs
        if last:
            self.layers["scores"] = TensorNorm()
        else:
            self.layers[f"{name}_norm"] = Norm1d(outputs, eps=1e-4)
            self.layers[f"{name}_{self.activation}"] = self.quantizer.activate()

    def _flatten(self):
        self.layers["flatten"] = nn.Flatten()
        self.channels *= self.height * self.width

    def _numbered(self):
        """The next number: of the stack, and in it."""
        self.index += 1
        return f"{self.stack}_{self.index}" if self.stack else f"{self.index}"

    def _slide(self, size, stride, padding=0):
        """The shape after a window."""
        self.height, self.width = (
            (length + 2 * padding - size) // stride + 1 for length in (self.height, self.width))
