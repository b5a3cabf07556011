"""The exponential moving average of weights, warmed up so that a short run does not remember its random start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...] | list[Tensor]


def warm_ema(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An update for ``torch.optim.swa_utils.AveragedModel``: average = d * average + (1 - d) * current.

    After n updates d is the smaller of ``decay`` and (1 + n) / (10 + n). Integers, such as the count of batches that
    normalisation keeps, are copied. n may be on a GPU: the host does not ask for it.
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, num_averaged: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            count = torch.as_tensor(num_averaged)
            step = torch._foreach_sub(current, averaged)
            torch._foreach_mul_(step, 1 - ((1 + count) / (10 + count)).clamp_max(decay))
            torch._foreach_add_(averaged, step)
        else:
            torch._foreach_copy_(averaged, current)

    return update
