"""What each step learns from: a batch with labels and, where there are pictures without, a batch of those beside it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from edgeseg.train.batches import Batches
from edgeseg.train.unlabelled import Views

_APART = 1 << 40
"""Between the seeds of both: no epoch of one is drawn as an epoch of the other."""


class Supply:
    """An endless supply of epochs, whose length is that of the pictures with labels.

    Args:
        labelled: batches of them.
        unlabelled: of the others, as many as of the first or more; None where there are none.
    """

    def __init__(self, labelled: Batches, unlabelled: Batches | None) -> None:
        self._labelled = labelled
        self._unlabelled = unlabelled

    def __len__(self) -> int:
        return len(self._labelled)

    def close(self) -> None:
        """End the processes that prepare them."""
        self._labelled.close()
        if self._unlabelled is not None:
            self._unlabelled.close()

    def epoch(self, seed: int) -> Iterator[tuple[tuple[Tensor, ...], Views | None]]:
        """Samples of :class:`edgeseg.train.augment.Augmented` and views, as the seed says.

        Raises:
            EdgesegError, RuntimeError: as :meth:`edgeseg.train.batches.Batches.epoch`.
        """
        if self._unlabelled is None:
            for batch in self._labelled.epoch(seed):
                yield batch, None
            return
        views = self._unlabelled.epoch(seed + _APART)
        for batch in self._labelled.epoch(seed):
            yield batch, Views(*next(views))
        next(views, None)  # its end, at which processes are ready for the next epoch
