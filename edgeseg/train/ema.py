"""The exponential moving average of weights, warmed up so that a short run does not remember its random start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...] | list[Tensor]


def warm_ema(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An update for ``torch.optim.swa_utils.AveragedModel``: average = d * average + (1 - d) * current.

    After n updates d is the smaller of ``decay`` and (1 + n) / (10 + n). Integers, such as the count of batches that
    normalisation keeps, are copied.
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, num_averaged: Tensor | int) -> None:
        count = int(num_averaged)
        rate = 1 - min(decay, (1 + count) / (10 + count))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, rate)
        else:
            torch._foreach_copy_(averaged, current)

    return update
