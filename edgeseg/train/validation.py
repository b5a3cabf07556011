"""Measuring a network on a split as ``edgeseg eval`` does: one picture after the other, at its own size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.models.network import Network
from edgeseg.runtime.postprocess import to_labels
from edgeseg.train.data import SplitTensors
from edgeseg.train.world import world
from edgeseg.types import LabelsU8

_AHEAD = 4
"""Pictures that are read while the network has one."""


@torch.no_grad()
def confusion_on(
    split: SplitTensors,
    network: Network,
    inputs: Callable[[Tensor], Tensor],
    threads: int,
    *,
    at_most: int | None = None,
) -> ConfusionMatrix:
    """What a network makes of a split, counted over all processes, each of which has its share of the pictures.

    Args:
        split: with label files.
        network: in eval mode; it computes in float32.
        inputs: makes what it takes of (1, 3, H, W) uint8 RGB.
        threads: of the CPU; 0 for all.
        at_most: stop after so many pictures; None for all.

    Raises:
        DatasetError: a file cannot be used.
    """
    confusion = ConfusionMatrix(split.dataset.num_classes)
    for image, labels in _read_ahead(split, range(len(split))[:at_most][world().rank :: world().size]):
        logits = network(inputs(image.unsqueeze(0))).to("cpu", torch.float32).numpy()
        confusion.update(labels, to_labels(logits, (labels.shape[0], labels.shape[1]), threads))
    confusion.matrix = world().total(confusion.matrix)
    confusion.unlabelled = world().total(confusion.unlabelled)
    return confusion


def _read_ahead(split: SplitTensors, indices: Sequence[int]) -> Iterator[tuple[Tensor, LabelsU8]]:
    """Images at the model's size with labels at their own, decoded by another thread."""

    def read(index: int) -> tuple[Tensor, LabelsU8]:
        return split[index][0], split.file_labels(index)

    pending: deque[Future[tuple[Tensor, LabelsU8]]] = deque()
    with ThreadPoolExecutor(1) as reader:
        try:
            for index in indices:
                pending.append(reader.submit(read, index))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for one in pending:
                one.cancel()
