"""The operations that a picture passes in a network, one after the other, found by shapes alone.

Nothing is computed: tensors of PyTorch's ``meta`` device have shapes and no values. Composite operations are taken
apart into those that PyTorch computes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_POINTWISE = ("native_batch_norm", "_prelu_kernel", "gelu", "hardtanh", "hardswish")
"""What PyTorch does not mark as pointwise, although it is while a network is used."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of ATen, PyTorch's own library.

    Attributes:
        name: as ATen calls it, such as ``convolution``; that of an operation in place is the other's.
        args: what it was given by place.
        inputs: the tensors that it was given.
        outputs: the tensors that it made.
        is_pointwise: whether each value that it makes is of the values in the same place alone.
        macs: multiply-accumulates, where it is a convolution or a product of matrices.
    """

    name: str
    args: tuple[Any, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    is_pointwise: bool
    macs: int


@dataclass(frozen=True, eq=False)
class Trace:
    """A picture's way through a network. All its tensors are kept, so that no two of them share an identity.

    Attributes:
        picture: (1, 3, H, W), what went in.
        operations: in the order in which they were executed.
        logits: what came out.
    """

    picture: Tensor
    operations: tuple[Operation, ...]
    logits: Tensor

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions and linear layers."""
        return sum(operation.macs for operation in self.operations)


def trace(network: nn.Module, input_size: tuple[int, int]) -> Trace:
    """The way of one picture of (height, width) pixels through a network that is used, not trained.

    Args:
        network: from (1, 3, H, W) to one tensor. It stays as it is.
        input_size: of the picture.
    """
    shapes = shapes_of(network)
    picture = torch.zeros(1, 3, *input_size, device="meta")
    recorder = _Recorder()
    with torch.no_grad(), recorder:
        logits = shapes(picture)
    return Trace(picture, tuple(recorder.operations), logits)


def shapes_of(network: nn.Module) -> nn.Module:
    """A copy in evaluation on the meta device: what passes it has shapes, and nothing is computed."""
    return copy.deepcopy(network).to("meta").eval()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry

        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        result: Any
        if name == "native_batch_norm" and not args[5]:  # else PyTorch works its shapes out in Python, slowly
            result = (torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0))
        elif name == "_prelu_kernel":  # the same
            result = torch.empty_like(args[0])
        else:
            result = func(*args, **kwargs)
        in_place = name.endswith("_") and not name.endswith("__")
        name = name[:-1] if in_place else name
        flops = flop_registry.get(func.overloadpacket)
        self.operations.append(
            Operation(
                name,
                args,
                tensors_in((args, kwargs)),
                tensors_in(result),
                torch.Tag.pointwise in func.tags or name in _POINTWISE,
                flops(*args, **kwargs, out_val=result) // 2 if flops is not None else 0,
            )
        )
        return result


def tensors_in(tree: Any) -> tuple[Tensor, ...]:
    """Those in nested lists, tuples and dictionaries."""
    return tuple(leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
