"""Whether a training still is one: losses and weights that are finite numbers."""

from __future__ import annotations

import math

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
    """The losses of an epoch, which stay on their device until they are looked at.

    Args:
        every: steps between two looks.

    Attributes:
        latest: the last loss looked at; NaN before the first.
    """

    def __init__(self, every: int) -> None:
        self.latest = math.nan
        self._every = every
        self._unseen: list[Tensor] = []
        self._seen: list[float] = []

    def add(self, loss: Tensor) -> None:
        """Append the loss of a step, and look at those since the last time where that is due.

        Raises:
            NotFiniteError: one of them is no finite number.
        """
        self._unseen.append(loss)
        if len(self._unseen) >= self._every:
            self.look()

    def look(self) -> None:
        """Bring the losses to the host, which waits for the device.

        Raises:
            NotFiniteError: one of them is no finite number.
        """
        if not self._unseen:
            return
        for value in torch.stack(self._unseen).tolist():
            self._seen.append(value)
            if not math.isfinite(value):
                raise NotFiniteError(len(self._seen), value)
        self._unseen = []
        self.latest = self._seen[-1]

    def mean(self) -> float:
        """Of all steps.

        Raises:
            NotFiniteError: one is no finite number.
        """
        self.look()
        return math.fsum(self._seen) / len(self._seen)
