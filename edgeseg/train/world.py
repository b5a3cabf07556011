"""The processes that train together, and sums over all of them; with one process everything here is the identity.

Each has its share of every batch. What is a sum over the batch, in a loss or a batch's statistics, goes through
:func:`summed` or :func:`gathered`, so that it does not matter how many processes share the batch: their losses are
equal, and the mean of their gradients, which DistributedDataParallel takes, is the gradient of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")


_CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """Which of the processes this one is.

    Attributes:
        rank: counted from 0; the first alone writes and prints.
        size: how many there are.
        local_rank: among those of this machine.
        local_size: how many those are.
        node: what the machine is called among the machines.
        device: where tensors must lie that are exchanged.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node: str = "0"
    device: torch.device = _CPU

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def is_shared(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them. The others wait; if it fails there, they are ended with it."""
        if not self.is_shared:
            return make()
        told: list[T | None] = [make() if self.is_first else None]
        dist.broadcast_object_list(told, src=0, device=self.device)
        return cast(T, told[0])

    def from_first_here(self, made: T) -> T:
        """What the first process of this machine has made."""
        if not self.is_shared:
            return made
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, (self.node, self.local_rank, made))
        return next(cast(T, value) for node, local_rank, value in told if (node, local_rank) == (self.node, 0))

    def all_agree(self, yes: bool) -> bool:
        """Whether all processes say yes."""
        return bool(self.total(np.array([not yes], dtype=np.int64))[0] == 0)

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.is_shared:
            dist.all_reduce(met := torch.zeros(1, device=self.device))
            met.item()  # a GPU goes on by itself

    def total(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of all processes' counts."""
        if not self.is_shared:
            return counts
        tensor = torch.from_numpy(counts).to(self.device)
        dist.all_reduce(tensor)
        return np.asarray(tensor.cpu().numpy())


ALONE = World()

_current = [ALONE]
"""Of all threads: gradients on a GPU are computed in one of PyTorch's own."""


def world() -> World:
    """The processes that this one trains with."""
    return _current[0]


def set_world(new: World) -> None:
    """Say which those are; :func:`edgeseg.train.distributed.joined` does."""
    _current[0] = new


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, with gradients; of one process the values themselves.

    One call for several sums, stacked, is quicker than several calls.
    """
    return cast(Tensor, _Summed.apply(values)) if world().is_shared else values  # type: ignore[no-untyped-call]


def gathered(values: Tensor, dim: int = 0) -> Tensor:
    """The values of all processes, of the same shape in each, one after the other along a dimension; with gradients."""
    return cast(Tensor, _Gathered.apply(values, dim)) if world().is_shared else values  # type: ignore[no-untyped-call]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Summed.forward(None, gradient)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, dim: int) -> Tensor:
        ctx.dim, ctx.length = dim, values.shape[dim]
        values = values.detach().contiguous()
        parts = [torch.empty_like(values) for _ in range(world().size)]
        dist.all_gather(parts, values)
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = _Summed.forward(None, gradient)
        return total.narrow(ctx.dim, world().rank * ctx.length, ctx.length), None
