"""Weights of n bits that are 0 or a signed power of two: a product is a shift.

After n-BQ-NN of Chen, Liu, Liu and Zeng (IEEE TNNLS, 2020). With r = 2^(n-1) - 1 the magnitudes are 0, 2^-(r-1), ...,
1/2, 1; of one bit 1 alone, a plain sign. A weight of magnitude D_(i+1) <= m < D_i becomes 2^-i with its sign, and
0 below D_r (eq. 4 and 5). There is no scale factor: the BatchNorm that follows absorbs it.

The authors' thresholds of three bits are 0.14, 0.07 and 0.02 times the largest weight. Those of other widths are our
own reconstruction: halved each step, the last one times 4/7 more; or the same row of thresholds in another measure, one
for a layer, with which the quantised weights have the variance of the real ones, which the paper gives as the principle
(eq. 18).
"""

import torch

from train.tensor_quant import TensorQuant, signs

__all__ = ["THRESHOLDS", "PowerOfTwo", "Rounded", "levels", "thresholds"]


def levels(bits):
    """Magnitudes of weights, from the least."""
    return [0.0] * (bits > 1) + [2.0**-i for i in reversed(range(2 ** (bits - 1) - 1))] or [1.0]


def thresholds(bits):
    """The least weight of each magnitude but the first, in units of that of 1: D_r, ..., D_1 = 1."""
    row = levels(bits)[1:]
    return [row[0] * 4 / 7, *row[1:]] if row else []


def largest(w, _):
    """0.14 of the largest weight."""
    return 0.14 * w.abs().amax()


def variance(w, quantised):
    """That D_1 with which ``quantised(D_1)`` has the variance of ``w``, by bisection."""
    wanted, low = w.var(correction=0), torch.zeros_like(w[(0,) * w.dim()])
    high = low + 1.75  # no weight gets a larger magnitude than its own
    for _ in range(20):
        middle = (low + high) / 2
        more = quantised(middle).var(correction=0) > wanted
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    return high


THRESHOLDS = {"largest": largest, "variance": variance}


class PowerOfTwo(TensorQuant):
    """Powers of two q(w); in training (1 - a) q(w) + a w (eq. 14), whose gradient is a, with a from 1/2 to 0."""

    def __init__(self, bits, rule):
        super().__init__()
        self.reach = THRESHOLDS[rule]
        for name, row in (("levels", levels(bits)), ("thresholds", thresholds(bits))):
            self.register_buffer(name, torch.tensor(row), persistent=False)
        self.register_buffer("a", torch.tensor(0.5), persistent=False)

    def anneal(self, progress):
        """Set a for ``progress`` in [0, 1]."""
        self.a.fill_(1 - 0.5 * 2**progress)

    @torch.no_grad()
    def rounded(self, w):
        """Return q(w)."""
        return self._rounded(w, self.reach(w, lambda reach: self._rounded(w, reach)))

    def _rounded(self, w, reach):
        places = torch.bucketize(w.abs().contiguous(), self.thresholds * reach, right=True)
        return signs(w) * self.levels[places] + 0.0  # no -0

    def quantise(self, w):
        return self.a * w + (1 - self.a) * self.rounded(w) if self.training else self.rounded(w)


class Rounded(PowerOfTwo):
    """Direct rounding, to compare with: q(w) in training, too, whose gradient is 0, so that weights never change."""

    def anneal(self, progress):
        """Leave nothing of the real weights."""
        self.a.zero_()
