"""Measuring a network on a split as ``edgeseg eval`` does: one picture after the other, at its own size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.models.network import Network
from edgeseg.refine.base import Refiner
from edgeseg.refine.placed import refine_placed
from edgeseg.runtime.postprocess import placed_labels
from edgeseg.runtime.tiles import infer_tiles
from edgeseg.train.data import SplitTensors
from edgeseg.train.world import world
from edgeseg.types import ImageU8, LabelsU8

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
    refiner: Refiner | None = None,
) -> ConfusionMatrix:
    """What a network makes of a split, counted over all processes, each of which has its share of the pictures.

    Args:
        split: with label files, placed as its spec says.
        network: in eval mode; it computes in float32.
        inputs: makes what it takes of (N, 3, H, W) uint8 RGB.
        threads: of the CPU; 0 for all.
        at_most: stop after so many pictures; None for all.
        refiner: what its labels are refined by, of a split with a spec; None for nothing.

    Raises:
        DatasetError: a file cannot be used.
    """

    def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = inputs(torch.from_numpy(images).permute(0, 3, 1, 2))
        return np.asarray(network(pixels).to("cpu", torch.float32).numpy())

    def measured(image: Tensor, labels: LabelsU8) -> tuple[LabelsU8, LabelsU8]:
        canvas: ImageU8 = image.permute(1, 2, 0).numpy()
        if split.spec is not None and split.spec.fit == "tile":
            logits = np.asarray(infer_tiles(infer, canvas, split.spec), dtype=np.float32)[np.newaxis]
        else:
            logits = infer(canvas[np.newaxis])
        placement = split.place((labels.shape[0], labels.shape[1]))
        output: NDArray[np.float32] | NDArray[np.uint8] = logits
        if refiner is not None:
            assert split.spec is not None
            output = refine_placed(refiner, logits, canvas, placement, split.spec)
            placement = placement.without_border()
        return labels, placed_labels(output, placement, threads)

    own = range(len(split))[:at_most][world().rank :: world().size]
    pairs = (measured(image, labels) for image, labels in _read_ahead(split, own))
    confusion = ConfusionMatrix.of(split.dataset.num_classes, pairs)
    confusion.matrix = world().total(confusion.matrix)
    confusion.unlabelled = world().total(confusion.unlabelled)
    return confusion


def _read_ahead(split: SplitTensors, indices: Sequence[int]) -> Iterator[tuple[Tensor, LabelsU8]]:
    """Images as the network looks at them with labels at their own size, decoded by another thread."""

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
