"""Whether a training still is one: losses and weights that are finite numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from edgeseg.errors import EdgesegError


class DivergedError(EdgesegError):
    """A training whose loss or weights became NaN or infinite."""


class NotFiniteError(Exception):
    """A loss that is no finite number.

    Attributes:
        step: counted from 1 in its epoch.
        value: of the loss.
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(f"loss {value} at step {step}")
        self.step = step
        self.value = value


class EpochLosses:
    """The losses of an epoch, and the terms of each, which stay on their device until they are looked at.

    Args:
        every: steps between two looks.

    Attributes:
        latest: the last loss looked at; NaN before the first.
    """

    def __init__(self, every: int) -> None:
        self.latest = math.nan
        self._every = every
        self._unseen: list[Tensor] = []
        self._seen: list[list[float]] = []
        self._names: tuple[str, ...] = ()

    def add(self, loss: Tensor, terms: Mapping[str, Tensor] | None = None) -> None:
        """Append the loss of a step, and look at those since the last time where that is due.

        Args:
            loss: the sum.
            terms: by their names, the same in every step.

        Raises:
            NotFiniteError: one of them is no finite number.
        """
        terms = terms or {}
        self._names = tuple(terms)
        self._unseen.append(torch.stack([loss, *(term.detach() for term in terms.values())]))
        if len(self._unseen) >= self._every:
            self.look()

    def look(self) -> None:
        """Bring the losses to the host, which waits for the device.

        Raises:
            NotFiniteError: one of them is no finite number.
        """
        if not self._unseen:
            return
        for values in torch.stack(self._unseen).tolist():
            self._seen.append(values)
            if not math.isfinite(values[0]):
                raise NotFiniteError(len(self._seen), values[0])
        self._unseen = []
        self.latest = self._seen[-1][0]

    def mean(self) -> float:
        """Of all steps.

        Raises:
            NotFiniteError: one is no finite number.
        """
        self.look()
        return math.fsum(values[0] for values in self._seen) / len(self._seen)

    def mean_terms(self) -> dict[str, float]:
        """Of all steps that have been looked at, by the names of the terms."""
        columns = zip(*(values[1:] for values in self._seen), strict=True)
        return {name: math.fsum(column) / len(column) for name, column in zip(self._names, columns, strict=True)}
