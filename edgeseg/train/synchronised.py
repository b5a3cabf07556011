"""Batch normalisation and dropout over a batch that several processes share, equal to what one would compute of it."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.train.world import world


def synchronise(module: nn.Module) -> None:
    """Put what looks beyond its own pictures, in training, in place of a module's normalisation and dropout.

    Names and shapes of the state are as before. Nothing is done where one process has the whole batch.
    """
    if not world().is_shared:
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _taking_the_state_of(child))
        elif isinstance(child, nn.Dropout | nn.Dropout2d):
            setattr(module, name, BatchDropout(child.p, whole_channels=isinstance(child, nn.Dropout2d)))
        else:
            synchronise(child)


def _taking_the_state_of(norm: nn.BatchNorm2d) -> nn.BatchNorm2d | nn.SyncBatchNorm:
    """PyTorch's own where its kernels run, which is on a GPU."""
    if norm.weight.is_cuda:
        return cast(nn.SyncBatchNorm, nn.SyncBatchNorm.convert_sync_batchnorm(norm))  # type: ignore[no-untyped-call]
    assert norm.affine
    assert norm.momentum is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    new = BatchNormOfAll(norm.num_features, norm.eps, norm.momentum)
    new.weight, new.bias = norm.weight, norm.bias
    new.running_mean, new.running_var = norm.running_mean, norm.running_var
    new.num_batches_tracked = norm.num_batches_tracked
    return new.train(norm.training)


class BatchNormOfAll(nn.BatchNorm2d):
    """Batch normalisation whose means and variances are those of the pictures of all processes, also on a CPU."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; each process has as many pictures as any other."""
        if not self.training:
            return super().forward(x)
        mean, variance, count = _moments(x.detach())
        with torch.no_grad():
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
        normalised: Tensor = _Normalise.apply(x, self.weight, self.bias, mean, variance, self.eps, count)  # type: ignore[no-untyped-call]
        return normalised


def _moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance (C,) of all pixels of all processes, and how many those are."""
    precise = torch.promote_types(x.dtype, torch.float32)
    x = x.to(precise)
    mean = x.mean((0, 2, 3))
    # As exact as var_mean, which takes 20 times as long where channels come last in memory.
    variance = (x - mean[:, None, None]).square_().mean((0, 2, 3))
    mean, variance = mean.double(), variance.double()
    sums = torch.stack([mean, variance + mean * mean])  # of twice the digits, of which many are lost below
    dist.all_reduce(sums)
    mean, square = sums / world().size
    variance = (square - mean * mean).clamp_min(0)
    return mean.to(precise), variance.to(precise), world().size * x.numel() // x.shape[1]


class _Normalise(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, whose mean and variance depend on all x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, count: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.count = eps, count
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        # Ioffe, Szegedy, "Batch Normalization" (arXiv:1502.03167), section 3: what the mean and variance bring along.
        shared = torch.stack([of_weight, of_bias]).double()
        dist.all_reduce(shared)
        by_weight, by_bias = shared / ctx.count
        spread = (variance.double() + ctx.eps).rsqrt()
        slope = -weight * spread * spread * by_weight
        offset = -weight * spread * by_bias - slope * mean
        slope, offset = (one.to(x.dtype).view(1, -1, 1, 1) for one in (slope, offset))
        return of_x.addcmul_(x, slope).add_(offset), of_weight, of_bias, None, None, None, None


class BatchDropout(nn.Module):
    """Dropout that draws for the whole batch and takes its own share: with one seed, that of one process on a CPU.

    Args:
        p: how much is dropped.
        whole_channels: as ``nn.Dropout2d``.
    """

    def __init__(self, p: float, *, whole_channels: bool) -> None:
        super().__init__()
        self.p = p
        self.whole_channels = whole_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if not self.training or not self.p:
            return x
        size = (world().size * x.shape[0], x.shape[1], *((1, 1) if self.whole_channels else x.shape[2:]))
        format_ = torch.contiguous_format
        if not self.whole_channels and x.is_contiguous(memory_format=torch.channels_last):
            format_ = torch.channels_last  # numbers are drawn in the order of memory
        drawn = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=format_).bernoulli_(1 - self.p)
        first = world().rank * x.shape[0]
        return x * drawn[first : first + x.shape[0]].div_(1 - self.p)
