"""Training on several processes, one a device, as ``torchrun`` starts them.

Each process takes every n-th image of each batch. BatchNorm's statistics are those of the whole batch, and gradients
are averaged, so that n processes compute what one would.
"""

import atexit
import os
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from gen.errors import UserError

__all__ = ["Norm1d", "Norm2d", "average_gradients", "in_turn", "largest", "mean", "rank", "share", "start", "world"]


def start(device):
    """Join the processes that ``torchrun`` started, if it did; returns the device of this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    atexit.register(dist.destroy_process_group)
    return device


@contextmanager
def in_turn():
    """Let the processes of one machine do one after the other what need be done but once, as downloads."""
    place, places = (int(os.environ[f"LOCAL_{word}"]) if world() > 1 else 0 for word in ("RANK", "WORLD_SIZE"))
    for _ in range(place):
        dist.barrier()
    yield
    for _ in range(places - place):
        dist.barrier()


def world():
    """How many processes train."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank():
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(batch):
    """Return this process' part of ``batch``, a tensor or a dict of tensors.

    Raises
    ------
    UserError
        Parts would differ in size, so that an average over processes would not be that over images.
    """
    if isinstance(batch, dict):
        return {key: share(value) for key, value in batch.items()}
    if len(batch) % world():
        raise UserError(f"{len(batch)} images a batch cannot be shared by {world()} processes; choose a multiple")
    return batch[rank()::world()]


def average_gradients(model):
    """Average the gradients over all processes. DistributedDataParallel wants to know parameters that freeze later."""
    if world() > 1:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        for work in [dist.all_reduce(gradient, async_op=True) for gradient in gradients]:
            work.wait()
        torch._foreach_div_(gradients, world())


def mean(value):
    """Average a tensor over all processes."""
    if world() > 1:
        dist.all_reduce(value)
    return value / world()


def largest(value):
    """Return the largest of a tensor over all processes."""
    if world() > 1:
        dist.all_reduce(value, dist.ReduceOp.MAX)
    return value


class _Mean(torch.autograd.Function):
    """:func:`mean`, whose gradient is the mean of all processes' gradients."""

    @staticmethod
    def forward(ctx, value):
        return mean(value.clone())

    @staticmethod
    def backward(ctx, gradient):
        return mean(gradient.clone())


class _WholeBatch:
    """BatchNorm with the statistics of the whole batch; PyTorch's SyncBatchNorm does not run on CPUs."""

    def forward(self, x):
        if world() == 1 or not self.training:
            return super().forward(x)
        dims, shape = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
        wide = x.to(self.running_mean.dtype)
        mean = _Mean.apply(wide.mean(dims))
        centred = wide - mean.view(shape)
        variance = _Mean.apply((centred * centred).mean(dims))
        self._track(mean.detach(), variance.detach(), world() * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _track(self, mean, variance, count):
        self.num_batches_tracked += 1
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / (count - 1), momentum)


class Norm1d(_WholeBatch, nn.BatchNorm1d):
    """BatchNorm of `[N, channels]`."""


class Norm2d(_WholeBatch, nn.BatchNorm2d):
    """BatchNorm of `[N, channels, height, width]`."""
