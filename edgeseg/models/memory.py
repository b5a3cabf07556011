"""How much memory the activations of a network take at once."""

from __future__ import annotations

from torch import Tensor

from edgeseg.models.trace import Trace


def peak_activation_bytes(passed: Trace) -> int:
    """The most that the tensors of one picture take at a time, in bytes, as an engine without waste would hold them.

    Each tensor, the picture among them, is there from the operation that makes it to the last that reads it; an
    operation holds what it reads and what it makes. Pointwise operations (batch normalisation, activations, sums)
    write over a tensor of the same size that nothing reads afterwards, views take nothing, and what nothing reads is
    not made. Weights are not counted, nor what an engine needs inside of an operation or to align.
    """
    last_use = {_identity(tensor): index for index, one in enumerate(passed.operations) for tensor in one.inputs}
    last_use[_identity(passed.logits)] = len(passed.operations)
    held = {_identity(passed.picture): _size(passed.picture)}
    peak = _size(passed.picture)
    for index, operation in enumerate(passed.operations):
        made = {_identity(one): _size(one) for one in operation.outputs if _identity(one) in last_use}
        made = {one: size for one, size in made.items() if one not in held}
        ending = [one for one in held if last_use.get(one, -1) <= index]
        overwritten = 0
        if operation.is_pointwise:
            overwritten = max((held[one] for one in ending if held[one] in made.values()), default=0)
        held |= made
        peak = max(peak, sum(held.values()) - overwritten)
        for one in ending:
            del held[one]
    return peak


def _identity(tensor: Tensor) -> int:
    """The same for all views of one piece of memory."""
    identity: int = tensor.untyped_storage()._cdata
    return identity


def _size(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
