"""Weights of n bits that are 0 or a signed power of two: a product is a shift.

After n-BQ-NN of Chen, Liu, Liu and Zeng (IEEE TNNLS, 2020). With r = 2^(n-1) - 1 the magnitudes are 0, 2^-(r-1), ...,
1/2, 1; of one bit 1 alone, a plain sign. A weight of magnitude D_(i+1) <= m < D_i becomes 2^-i with its sign, and
0 below D_r (eq. 4 and 5). There is no scale factor: the BatchNorm that follows absorbs it.

The authors' thresholds of three bits are 0.14, 0.07 and 0.02 times the largest weight. Those of other widths are our
own reconstruction: halved each step, the last one times 4/7 more; or the same row of thresholds in another measure, one
for a layer, with which the quantised weights have the variance of the real ones, in units of the largest, which the
paper gives as the principle (eq. 18).
"""

import torch

from train.tensor_quant import TensorQuant, signs

__all__ = ["THRESHOLDS", "PowerOfTwo", "Rounded", "levels", "thresholds"]

THRESHOLDS = "largest", "variance"
LARGEST = 0.14  # the authors' D_1, relative to the largest weight


def levels(bits):
    """Magnitudes of weights, from the least."""
    return [0.0] * (bits > 1) + [2.0**-i for i in reversed(range(2 ** (bits - 1) - 1))] or [1.0]


def thresholds(bits):
    """The least weight of each magnitude but the first, in units of that of 1: D_r, ..., D_1 = 1."""
    row = levels(bits)[1:]
    return [row[0] * 4 / 7, *row[1:]] if row else []


class PowerOfTwo(TensorQuant):
    """Powers of two q(w); in training (1 - a) q(w) + a w (eq. 14), whose gradient is a, with a from 1/2 to 0.

    Parameters
    ----------
    bits : int
        Of a weight, 1 to 5.
    rule : str
        What decides D_1, one of `THRESHOLDS`.
    """

    def __init__(self, bits, rule):
        super().__init__()
        self.rule = rule
        for name, row in (("levels", levels(bits)), ("thresholds", thresholds(bits))):
            self.register_buffer(name, torch.tensor(row), persistent=False)
        self.register_buffer("a", torch.tensor(0.5), persistent=False)

    def anneal(self, progress):
        """Set a for ``progress`` in [0, 1]."""
        self.a.fill_(1 - 0.5 * 2**progress)

    @torch.no_grad()
    def rounded(self, w):
        """Return q(w): always by float32, so that no weight changes with the precision of what it is used in."""
        sizes = w.float().abs().contiguous()
        sizes = sizes / sizes.amax().clamp_min(1e-30)
        magnitudes = self._magnitudes(sizes, LARGEST if self.rule == "largest" else self._keeping_variance(w, sizes))
        return (signs(w) * magnitudes + 0.0).to(w.dtype)  # no -0

    def _magnitudes(self, sizes, first):
        """Powers of two of weights of these ``sizes``, relative to the largest, if D_1 is ``first``."""
        return self.levels.float()[torch.bucketize(sizes, self.thresholds.float() * first, right=True)]

    def _keeping_variance(self, w, sizes):
        """That D_1 with which q(w) has the variance of w, relative to the largest; by bisection."""
        sign = signs(w).float()
        wanted, low = (sign * sizes).var(), torch.zeros_like(sizes.amax())
        high = low + 7 / 4  # no weight gets a larger magnitude than its own
        for _ in range(20):
            middle = (low + high) / 2
            more = (sign * self._magnitudes(sizes, middle)).var() > wanted
            low, high = torch.where(more, middle, low), torch.where(more, high, middle)
        return high

    def quantise(self, w):
        return self.a * w + (1 - self.a) * self.rounded(w) if self.training else self.rounded(w)


class Rounded(PowerOfTwo):
    """Direct rounding, to compare with: q(w) in training, too, whose gradient is 0, so that weights never change."""

    def anneal(self, progress):
        """Leave nothing of the real weights."""
        self.a.zero_()
