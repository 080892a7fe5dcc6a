"""Ways to train weights and activations of few bits, by name: most leave the same hardware, signs.

Each way is a pair of modules, for weights and for activations, that Brevitas' layers take as ``tensor_quant``. In
evaluation they give signs (weights times a positive scale, one a filter or a layer, which :func:`train.deploy.deployed`
folds into what follows); in training each has its own gradient, and some its own values. ``ternary`` and ``pow2`` have
weights of more values, and rectified activations in fixed point.

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
| real | none: real weights, rectified activations; for teachers and to start from, cannot be exported |
| ubq | our reconstruction of UBQ, Trusov et al. 2024 (only its abstract is public): soft where uncertain |
| gradual | hard tanh first, as ``ubq`` begins, signs in the second half: deep networks learn sooner |
| ternary | Ternary weight networks, Li and Liu 2016: 0 below 0.7 of the mean magnitude, else sign times a scale |
| pow2 | n-BQ-NN, Chen et al. 2020: 0 and powers of two, see `train.powers` |
| rounded | direct rounding to the same, which that paper compares with: weights stay where they began |
"""

import math
from typing import NamedTuple

import torch
from brevitas import nn as qnn
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import nn

from gen.errors import UserError
from train.fixed import FixedPoint, fixed_point
from train.powers import PowerOfTwo, Rounded
from train.tensor_quant import Injector, TensorQuant, signs, through

__all__ = ["QUANTIZERS", "Quantizer", "anneal", "find", "observe", "of", "uncertain"]


EDGE = 1 + 2.0**-7  # next to 1 in bfloat16: what is clamped to 1 still learns


class _Window(torch.autograd.Function):
    """``clamp(x / u, -1, 1)``, or ``sign(x)`` where u is None; its gradient is 1 within [-1, 1] and 0 outside.

    In few passes through memory, which is what it takes its time for.
    """

    @staticmethod
    def forward(ctx, x, u):
        ctx.save_for_backward(x)
        return signs(x) if u is None else (x / u).clamp_(-1, 1)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, x, -EDGE, EDGE), None


class PassedSign(TensorQuant):
    """Sign; the gradient is passed straight through, also to weights at the edge of [-1, 1]."""

    def quantise(self, x):
        return through(signs(x), x)


class StagedSign(PassedSign):
    """Real weights for the first half of the training, so that activations become signs first; then as PassedSign.

    In the first half they are real in evaluation, too: it is how far that stage has come.
    """

    def __init__(self):
        super().__init__()
        self.real = True

    def anneal(self, progress):
        """Set the stage for ``progress`` in [0, 1]."""
        self.real = progress < 0.5

    def quantise(self, x):
        return x if self.real else super().quantise(x)


class ClampedSign(TensorQuant):
    """``sign(clamp(x, -1, 1))``: no gradient outside (-1, 1). Brevitas' ClampedBinaryQuant, several times faster."""

    def quantise(self, x):
        return _Window.apply(x, None)


class ScaledSign(TensorQuant):
    """``a sign(w)``, a the mean of \\|w\\| in the filter: the scale that is nearest to the weights."""

    def quantise(self, w):
        return w.abs().mean(tuple(range(1, w.dim())), keepdim=True) * through(signs(w), w)


class LossAwareSign(TensorQuant):
    """``a sign(w)``, a the mean of \\|w\\| in the layer weighted by L, the root of Adam's second moment."""

    def __init__(self):
        super().__init__()
        self.curvature = None  # the optimiser's state has it

    def observe(self, weight, state):
        """Take over the curvature from the optimiser's ``state`` of ``weight``."""
        if "exp_avg_sq" in state:
            self.curvature = state["exp_avg_sq"].sqrt() + 1e-12

    def quantise(self, w):
        weights = torch.ones_like(w) if self.curvature is None else self.curvature
        return (weights * w.abs()).sum() / weights.sum() * through(signs(w), w)


class SoftSign(TensorQuant):
    """Sign, with the gradient of s tanh(k x), s = 1 / (1 - a), k = ln(2 / a - 1) / 2; a is learnt."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.2))

    def quantise(self, x):
        a = through(self.a.clamp(1e-3, 0.5), self.a)  # what has left the range can come back
        return through(signs(x), torch.tanh((2 / a - 1).log() / 2 * x.clamp(-1, 1)) / (1 - a))


class SteepTanh(TensorQuant):
    """``tanh(nu x)``, nu from 1 to 100 over the training; sign in evaluation.

    Its gradient is nu where \\|x\\| < 1/nu and 0 elsewhere: at 1000 small networks no longer learn from it.
    """

    STEEPEST, SIGN = 100.0, 1e30

    def __init__(self):
        super().__init__()
        self.register_buffer("nu", torch.ones(()))

    def anneal(self, progress):
        """Set nu for ``progress`` in [0, 1]."""
        self.nu.copy_(torch.where(self.nu < self.SIGN, self.STEEPEST**progress, self.nu))

    def settle(self):
        """Make the tanh a sign, but at 0."""
        self.nu.fill_(self.SIGN)

    def quantise(self, x):
        return torch.tanh(self.nu * x) if self.training else signs(x)


class RectifiedSign(TensorQuant):
    """Standardised weights, clamped to their quantiles 1 - tau and tau (0.85 to 0.99); sign times mean magnitude."""

    def __init__(self):
        super().__init__()
        self.register_buffer("tau", torch.tensor(0.85))

    def anneal(self, progress):
        """Set tau for ``progress`` in [0, 1]: exponential, as in the paper's figure 5."""
        self.tau.fill_(0.85 * (0.99 / 0.85) ** progress)

    def quantise(self, w):
        dims = tuple(range(1, w.dim()))
        if w[0].numel() > 1:
            w = w - w.mean(dims, keepdim=True)
            w = w / (w.std(dims, keepdim=True) + 1e-12)
        # Quantiles of a normal distribution of the same spread: exact ones would be sorted every step.
        reach = w.std().detach() * torch.special.ndtri(self.tau)
        w = torch.minimum(torch.maximum(w, -reach), reach)
        return w.abs().mean(dims, keepdim=True) * through(signs(w), w)


class SampledSign(TensorQuant):
    """Weights are log odds of +1 over 2; training draws relaxed samples, evaluation takes the likelier sign."""

    def settle(self):
        """Refuse: training is sampling."""
        raise UserError("quantiser bayes cannot be frozen while it is trained")

    def quantise(self, odds):
        if not self.training:
            return signs(odds)
        uniform = torch.rand_like(odds).clamp(1e-6, 1 - 1e-6)
        return torch.tanh(odds + torch.logit(uniform) / 2)


class Real(TensorQuant):
    """Leaves weights as they are."""

    def quantise(self, w):
        return w


class Ternary(TensorQuant):
    """``a sign(w)`` where \\|w\\| > 0.7 mean \\|w\\|, a the mean of \\|w\\| there, else 0; passes the gradient on."""

    def quantise(self, w):
        sizes = w.detach().abs()
        kept = sizes > 0.7 * sizes.mean()
        value = (sizes * kept).sum() / kept.sum() * w.sign() * kept
        return through(value, w) if self.training else value


class UncertainSign(TensorQuant):
    """Sign where \\|x\\| >= u, else x / u, the mean of sign(x + u xi), xi uniform in (-1, 1). Gradient 1 in [-1, 1].

    u falls geometrically from 1 (a hard tanh, with its exact gradient) to 0.05 over the first half of the training;
    evaluation is with u = 0.
    """

    LEAST = 0.05

    def __init__(self):
        super().__init__()
        self.register_buffer("u", torch.ones(()))

    def anneal(self, progress):
        """Set u for ``progress`` in [0, 1]."""
        self.u.copy_(torch.where(self.u > 0, self.LEAST ** min(1.0, 2 * progress), self.u))

    def settle(self):
        """Leave no uncertainty, but at 0."""
        self.u.zero_()

    def quantise(self, x):
        if not self.training:
            return signs(x)
        return _Window.apply(x, self.u.clamp_min(1e-30))


class GradualSign(UncertainSign):
    """UncertainSign in the first half of the training, then sign, with the same gradient."""

    def __init__(self):
        super().__init__()
        self.hard = False

    def anneal(self, progress):
        """Set u for ``progress`` in [0, 1]; 0 in the second half."""
        super().anneal(progress)
        self.hard = progress >= 0.5
        if self.hard:
            self.settle()

    def quantise(self, x):
        return _Window.apply(x, None) if self.hard else super().quantise(x)


class Quantizer(NamedTuple):
    """A way to train.

    Attributes
    ----------
    weight, activation
        Modules.
    clamped
        Whether latent weights are kept within [-1, 1].
    soft
        Whether values are no signs up to the end of the training.
    bits
        Of power-of-two weights.
    thresholds
        One of `train.powers.THRESHOLDS`.
    act_bits
        Of activations in fixed point.
    """

    weight: type
    activation: type
    clamped: bool = True
    soft: bool = False
    bits: int = 3
    thresholds: str = "largest"
    act_bits: int = 16

    @property
    def rectified(self):
        """Whether activations are rectified, rather than signs."""
        return self.activation in (FixedPoint, nn.ReLU)

    @property
    def plain(self):
        """What the hardware computes, of a network that was trained so: ready weights, or plain signs."""
        return self._replace(weight=Real) if self.rectified else find("ste", act_bits=self.act_bits)

    def weights(self):
        """What Brevitas' layers take as ``weight_quant``."""
        return type("Weight", (Injector, WeightQuantSolver), {
            "tensor_quant": self.weight, "bits": self.bits, "rule": self.thresholds})

    def activate(self):
        """Make the module that follows a BatchNorm: a rectifier, or a sign."""
        if self.activation is nn.ReLU:
            return nn.ReLU()
        if self.activation is FixedPoint:
            return qnn.QuantReLU(act_quant=fixed_point(self.act_bits, signed=False))
        return qnn.QuantIdentity(
            act_quant=type("Activation", (Injector, ActQuantSolver), {"tensor_quant": self.activation}))

    def branch(self):
        """Make the module that keeps sums and averages in few bits; in binary networks, too, they are no signs."""
        if self.activation is nn.ReLU:
            return nn.Identity()
        return qnn.QuantIdentity(act_quant=fixed_point(self.act_bits, signed=True))


QUANTIZERS = {
    "ste": Quantizer(PassedSign, ClampedSign),
    "staged": Quantizer(StagedSign, ClampedSign),
    "xnor": Quantizer(ScaledSign, ClampedSign),
    "lab": Quantizer(LossAwareSign, ClampedSign),
    "dsq": Quantizer(SoftSign, SoftSign),
    "tanh": Quantizer(SteepTanh, SteepTanh, soft=True),
    "recu": Quantizer(RectifiedSign, ClampedSign, clamped=False),
    "bayes": Quantizer(SampledSign, ClampedSign, clamped=False, soft=True),
    "real": Quantizer(Real, nn.ReLU, clamped=False),
    "ubq": Quantizer(UncertainSign, UncertainSign, soft=True),
    "gradual": Quantizer(GradualSign, GradualSign),
    "ternary": Quantizer(Ternary, FixedPoint),
    "pow2": Quantizer(PowerOfTwo, FixedPoint),
    "rounded": Quantizer(Rounded, FixedPoint),
}


def find(name, **settings):
    """The quantiser called ``name``; :class:`UserError` if there is none."""
    if name not in QUANTIZERS:
        raise UserError(f"no quantiser {name!r}; there are {', '.join(QUANTIZERS)}")
    return QUANTIZERS[name]._replace(**settings)


def of(recipe):
    """The quantiser of a recipe, and with its settings."""
    return find(recipe.quantiser, bits=recipe.bits, thresholds=recipe.thresholds, act_bits=recipe.act_bits)


def anneal(model, progress):
    """Set what changes over the training, for ``progress`` in [0, 1]."""
    if not math.isfinite(progress) or not 0 <= progress <= 1:
        raise ValueError(f"progress {progress}")
    for module in model.modules():
        if hasattr(module, "anneal"):  # a TensorQuant or a Gate
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
        if isinstance(quant, TensorQuant):
            yield layer.weight, quant
