"""What Brevitas' layers ask of a ``tensor_quant``: values, and what they are multiples of."""

import torch
from brevitas import config
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from torch import nn

__all__ = ["Injector", "TensorQuant", "signs", "through"]

# Else loading a state makes quantisers anew: not on the device of the rest, and not those whose parameters are trained.
config.REINIT_ON_STATE_DICT_LOAD = False


class TensorQuant(nn.Module):
    """A quantiser of tensors. ``quantise`` is the rest."""

    def __init__(self):
        super().__init__()
        for name in ("scale", "zero_point", "bit_width"):
            self.register_buffer(name, torch.tensor(float(name != "zero_point")), persistent=False)

    def forward(self, x):
        """Return the quantised ``x``, scale 1, zero point 0, one bit."""
        return self.quantise(x), self.scale, self.zero_point, self.bit_width

    def settle(self):
        """Give signs from now on, also in training; the state says so."""


class Injector(ExtendedInjector):
    """One bit, scale 1, no zero point."""

    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    signed = True
    quant_type = QuantType.BINARY
    bit_width = 1
    narrow_range = True
    scaling_const = 1.0
    min_val = -1.0
    max_val = 1.0


def signs(x):
    """+1 and -1; of both zeros +1."""
    return torch.copysign(torch.ones((), dtype=x.dtype, device=x.device), x + 0.0)  # -0.0 + 0.0 is +0.0


def through(value, soft):
    """``value`` with the gradient of ``soft``."""
    return soft + (value - soft).detach()
