"""Activations in fixed point: a few bits, whose last is worth a power of two that the largest value seen decides."""

import torch
from brevitas.core.quant import QuantType
from brevitas.quant.solver import ActQuantSolver

from train import parallel
from train.tensor_quant import Injector, TensorQuant, through

__all__ = ["FixedPoint", "fixed_point", "forget"]


class FixedPoint(TensorQuant):
    """``round(x / s)``, within what ``bit_width`` bits hold, times s: the least power of two that ``largest`` allows.

    In training the largest magnitude is that seen since :func:`forget`; the gradient is 1 inside the range.
    """

    def __init__(self, bit_width, signed):
        super().__init__()
        self.bit_width.fill_(bit_width)
        self.most = 2 ** (bit_width - signed) - 1
        self.least = -self.most - 1 if signed else 0
        self.register_buffer("largest", torch.zeros(()))

    def step(self):
        """What the last bit is worth."""
        needed = self.largest.clamp_min(2.0**-20) / self.most
        mantissa, _ = torch.frexp(needed)  # 1/2 of a power of two, else between 1/2 and 1
        return torch.where(mantissa == 0.5, needed, needed / mantissa)

    def forward(self, x):
        """Return the fixed-point ``x``, its step, zero point 0 and its bits."""
        if self.training:
            seen = parallel.largest(x.detach().abs().amax().to(self.largest.dtype))
            self.largest.copy_(torch.maximum(self.largest, seen))
        step = self.step()
        soft = x.clamp(self.least * step, self.most * step)
        return through((soft / step).round() * step, soft), step, self.zero_point, self.bit_width


def fixed_point(bits, signed):
    """What Brevitas' layers take as ``act_quant``."""
    return type("Activation", (Injector, ActQuantSolver), {
        "tensor_quant": FixedPoint, "quant_type": QuantType.INT, "bit_width": bits, "signed": signed,
        "narrow_range": False})


def forget(model):
    """Let the ranges of all activations be found anew."""
    for module in model.modules():
        if isinstance(module, FixedPoint):
            module.largest.zero_()
