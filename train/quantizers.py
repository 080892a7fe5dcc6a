"""Ways to train 1-bit weights and activations, by name: all leave the same hardware, signs.

Each way is a pair of modules, for weights and for activations, that Brevitas' layers take as ``tensor_quant``. In
evaluation they give signs (weights times a positive scale, one a filter or a layer, which :func:`train.deploy.deployed`
folds into what follows); in training each has its own gradient, and some its own values.

| name | source |
| --- | --- |
| ste | BinaryNet, Courbariaux et al. 2016: sign, its gradient passed straight through |
| staged | two stages, Bulat and Tzimiropoulos 2019: signs of activations first, then also of weights |
| xnor | XNOR-Net, Rastegari et al. 2016: sign times mean magnitude of the filter |
| lab | Loss-aware binarisation, Hou et al. 2017: sign times the magnitude weighted by curvature |
| dsq | Differentiable soft quantisation, Gong et al. 2019: sign, with the gradient of a learnt tanh |
| tanh | Self-binarizing networks, Lahoud et al. 2019: a tanh that grows ever steeper |
| recu | ReCU, Xu et al. 2021: standardised weights, rectified at a quantile, then sign and scale |
| bayes | BayesBiNN, Meng et al. 2020: odds for each weight, relaxed samples (here with the recipe's optimiser) |
| real | none: real weights, rectified activations; for teachers, cannot be exported |
| ubq | our reconstruction of UBQ, Trusov et al. 2024 (only its abstract is public): soft where uncertain |
"""

import math
from typing import NamedTuple

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

__all__ = ["QUANTIZERS", "Injector", "Quantizer", "anneal", "find", "observe", "uncertain"]


class _Sign(torch.autograd.Function):
    """``sign(x)`` with sign(0) = +1; its gradient is 1 inside (-1, 1) and 0 outside."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return signs(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, x, -1.0, 1.0)


def signs(x):
    """+1 and -1; of both zeros +1."""
    return torch.copysign(torch.ones((), dtype=x.dtype, device=x.device), x + 0.0)  # -0.0 + 0.0 is +0.0


def through(value, soft):
    """``value`` with the gradient of ``soft``."""
    return soft + (value - soft).detach()


class Binariser(nn.Module):
    """What Brevitas asks of a ``tensor_quant``: values, and what they are multiples of. ``binarise`` is the rest."""

    def __init__(self):
        super().__init__()
        for name in ("scale", "zero_point", "bit_width"):
            self.register_buffer(name, torch.tensor(float(name != "zero_point")), persistent=False)

    def forward(self, x):
        """Return the binarised ``x``, scale 1, zero point 0, one bit."""
        return self.binarise(x), self.scale, self.zero_point, self.bit_width

    def settle(self):
        """Give signs from now on, also in training; the state says so, for Brevitas makes modules anew on loading."""


class PassedSign(Binariser):
    """Sign; the gradient is passed straight through, also to weights at the edge of [-1, 1]."""

    def binarise(self, x):
        return through(signs(x), x)


class StagedSign(PassedSign):
    """Real weights for the first half of the training, so that activations become signs first; then as PassedSign."""

    def __init__(self):
        super().__init__()
        self.real = True

    def anneal(self, progress):
        """Set the stage for ``progress`` in [0, 1]."""
        self.real = progress < 0.5

    def binarise(self, x):
        return x if self.real and self.training else super().binarise(x)


class ClampedSign(Binariser):
    """``sign(clamp(x, -1, 1))``: no gradient outside (-1, 1). Brevitas' ClampedBinaryQuant, several times faster."""

    def binarise(self, x):
        return _Sign.apply(x)


class ScaledSign(Binariser):
    """``a sign(w)``, a the mean of \\|w\\| in the filter: the scale that is nearest to the weights."""

    def binarise(self, w):
        return w.abs().mean(tuple(range(1, w.dim())), keepdim=True) * _Sign.apply(w)


class LossAwareSign(Binariser):
    """``a sign(w)``, a the mean of \\|w\\| in the layer weighted by L, the root of Adam's second moment."""

    def __init__(self):
        super().__init__()
        self.register_buffer("curvature", torch.ones(()), persistent=False)

    def observe(self, weight, state):
        """Take over the curvature from the optimiser's ``state`` of ``weight``."""
        if "exp_avg_sq" in state:
            self.curvature = state["exp_avg_sq"].sqrt() + 1e-12

    def binarise(self, w):
        weights = self.curvature.expand_as(w)
        return (weights * w.abs()).sum() / weights.sum() * _Sign.apply(w)


class SoftSign(Binariser):
    """Sign, with the gradient of s tanh(k x), s = 1 / (1 - a), k = ln(2 / a - 1) / 2; a is learnt."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.2))

    def binarise(self, x):
        a = self.a.clamp(1e-3, 0.5)
        return through(signs(x), torch.tanh((2 / a - 1).log() / 2 * x.clamp(-1, 1)) / (1 - a))


class SteepTanh(Binariser):
    """``tanh(nu x)``, nu from 1 to 1000 over the training; sign in evaluation."""

    SIGN = 1e30

    def __init__(self):
        super().__init__()
        self.register_buffer("nu", torch.ones(()))

    def anneal(self, progress):
        """Set nu for ``progress`` in [0, 1]."""
        self.nu.copy_(torch.where(self.nu < self.SIGN, 1000.0**progress, self.nu))

    def settle(self):
        """Make the tanh a sign, but at 0."""
        self.nu.fill_(self.SIGN)

    def binarise(self, x):
        return torch.tanh(self.nu * x) if self.training else signs(x)


class RectifiedSign(Binariser):
    """Standardised weights, clamped to their quantiles 1 - tau and tau (0.85 to 0.99); sign times mean magnitude."""

    def __init__(self):
        super().__init__()
        self.register_buffer("tau", torch.tensor(0.85))

    def anneal(self, progress):
        """Set tau for ``progress`` in [0, 1]: exponential, as in the paper's figure 5."""
        self.tau.fill_(0.85 * (0.99 / 0.85) ** progress)

    def binarise(self, w):
        dims = tuple(range(1, w.dim()))
        w = w - w.mean(dims, keepdim=True)
        w = w / (w.std(dims, keepdim=True) + 1e-12)
        # Quantiles of a normal distribution of the same spread: exact ones would be sorted every step.
        reach = w.std().detach() * torch.special.ndtri(self.tau)
        w = torch.minimum(torch.maximum(w, -reach), reach)
        return w.abs().mean(dims, keepdim=True) * through(signs(w), w)


class SampledSign(Binariser):
    """Weights are log odds of +1 over 2; training draws relaxed samples, evaluation takes the likelier sign."""

    def settle(self):
        """Refuse: training is sampling."""
        raise UserError("quantiser bayes cannot be frozen while it is trained")

    def binarise(self, odds):
        if not self.training:
            return signs(odds)
        uniform = torch.rand_like(odds).clamp(1e-6, 1 - 1e-6)
        return torch.tanh(odds + torch.logit(uniform) / 2)


class Real(Binariser):
    """Leaves weights as they are."""

    def binarise(self, w):
        return w


class Rectified(Binariser):
    """``max(x, 0)``."""

    def binarise(self, x):
        return x.clamp_min(0)


class UncertainSign(Binariser):
    """Sign where \\|x\\| >= u, else x / u, the mean of sign(x + u xi), xi uniform in (-1, 1). Gradient 1 in [-1, 1].

    u falls geometrically from 1 (a hard tanh, with its exact gradient) to 0.05; evaluation is with u = 0.
    """

    LEAST = 0.05

    def __init__(self):
        super().__init__()
        self.register_buffer("u", torch.ones(()))

    def anneal(self, progress):
        """Set u for ``progress`` in [0, 1]."""
        self.u.copy_(torch.where(self.u > 0, self.LEAST**progress, self.u))

    def settle(self):
        """Leave no uncertainty, but at 0."""
        self.u.zero_()

    def binarise(self, x):
        if not self.training:
            return signs(x)
        return through((x / self.u.clamp_min(1e-30)).clamp(-1, 1), x.clamp(-1, 1))


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


class Quantizer(NamedTuple):
    """Modules for weights and activations, and whether latent weights are kept within [-1, 1]."""

    weight: type
    activation: type
    clamped: bool = True

    def injectors(self):
        """What Brevitas' layers take as ``weight_quant`` and ``act_quant``."""
        return (type("Weight", (Injector, WeightQuantSolver), {"tensor_quant": self.weight}),
                type("Activation", (Injector, ActQuantSolver), {"tensor_quant": self.activation}))


QUANTIZERS = {
    "ste": Quantizer(PassedSign, ClampedSign),
    "staged": Quantizer(StagedSign, ClampedSign),
    "xnor": Quantizer(ScaledSign, ClampedSign),
    "lab": Quantizer(LossAwareSign, ClampedSign),
    "dsq": Quantizer(SoftSign, SoftSign),
    "tanh": Quantizer(SteepTanh, SteepTanh),
    "recu": Quantizer(RectifiedSign, ClampedSign, clamped=False),
    "bayes": Quantizer(SampledSign, ClampedSign, clamped=False),
    "real": Quantizer(Real, Rectified, clamped=False),
    "ubq": Quantizer(UncertainSign, UncertainSign),
}


def find(name):
    """The quantiser called ``name``; :class:`UserError` if there is none."""
    if name not in QUANTIZERS:
        raise UserError(f"no quantiser {name!r}; there are {', '.join(QUANTIZERS)}")
    return QUANTIZERS[name]


def anneal(model, progress):
    """Set what changes over the training, for ``progress`` in [0, 1]."""
    if not math.isfinite(progress) or not 0 <= progress <= 1:
        raise ValueError(f"progress {progress}")
    for module in model.modules():
        if hasattr(module, "anneal"):  # a Binariser or a Gate
            module.anneal(progress)


@torch.no_grad()
def uncertain(model):
    """Share of the weights that ``ubq`` leaves soft, nearer to 0 than u; 0 for all other quantisers."""
    layers = list(_weights(model))
    soft = sum(int((weight.abs() < quant.u).sum()) for weight, quant in layers if isinstance(quant, UncertainSign))
    return soft / sum(weight.numel() for weight, _ in layers)


def observe(model, optimiser):
    """Show the optimiser's state to those quantisers that learn from it."""
    for weight, quant in _weights(model):
        if hasattr(quant, "observe"):
            quant.observe(weight, optimiser.state[weight])


def _weights(model):
    """Latent weights, and the module that makes signs of them."""
    for layer in model.modules():
        quant = getattr(getattr(layer, "weight_quant", None), "tensor_quant", None)
        if isinstance(quant, Binariser):
            yield layer.weight, quant
