"""A dataset's split as uint8 tensors of the model's input size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from edgeseg.dataset import Dataset, Sample
from edgeseg.errors import DatasetError
from edgeseg.palette import IGNORE
from edgeseg.preprocess import to_input
from edgeseg.synthetic.classes import CAMVID_NAMES
from edgeseg.synthetic.street import StreetScene
from edgeseg.types import ImageU8, LabelsU8

Pair = tuple[Tensor, Tensor]
"""Image (3, H, W) uint8 RGB, labels (H, W) uint8 with 255 = no label."""

CACHE_BYTES = 4 << 30
"""Splits that fit are kept decoded in memory, which also spares the worker processes."""


class SplitTensors(TorchDataset[Pair]):
    """The samples of a split, resized to one size the way the runtime resizes, read once where they fit in memory."""

    def __init__(self, dataset: Dataset, split: str, size: tuple[int, int]) -> None:
        self.dataset = dataset
        self.name = split
        self.samples: list[Sample] = dataset.split(split).samples()
        self.size = size
        self.cached = len(self.samples) * size[0] * size[1] * 4 <= CACHE_BYTES
        self._cache: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Pair:
        if index in self._cache:
            return self._cache[index]
        pair = to_tensors(*self.dataset.read(self.samples[index]), self.size)
        if self.cached:
            self._cache[index] = pair
        return pair

    def image_path(self, index: int) -> Path:
        return self.samples[index].image


MOMENTS_PER_STREET = 4
"""To lay out a street costs as much as to render dozens of pictures of it."""


class SyntheticTensors(TorchDataset[Pair]):
    """Rendered street scenes: every four indices are another street, rendered when one of them is first asked for.

    Raises:
        DatasetError: the dataset's classes are not CamVid's.
    """

    def __init__(self, dataset: Dataset, count: int, size: tuple[int, int], seed: int) -> None:
        if count and dataset.names != CAMVID_NAMES:
            raise DatasetError(
                f"{dataset.path} does not have CamVid's classes, which the synthetic scenes show",
                "Set synthetic_scenes to 0",
            )
        self.count = count
        self.size = size
        self.seed = seed
        self._cache: dict[int, Pair] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        if index not in self._cache:
            self._render(index // MOMENTS_PER_STREET)
        return self._cache[index]

    def _render(self, street: int) -> None:
        # Training streets have seeds of their own, far from those people look at and test with.
        seed = 1_000_000 * (self.seed + 1) + street
        scene = StreetScene(*self.size, seed=seed)
        for moment, time_s in enumerate(np.random.default_rng(seed).uniform(0, 60, MOMENTS_PER_STREET).tolist()):
            self._cache[street * MOMENTS_PER_STREET + moment] = to_tensors(*scene.render(time_s), self.size)


def to_tensors(image: ImageU8, labels: LabelsU8, size: tuple[int, int]) -> Pair:
    """Image and labels of one size as tensors of (height, width) ``size``; labels by nearest neighbour."""
    if labels.shape != size:
        labels = np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    return torch.from_numpy(to_input(image, size)[0].transpose(2, 0, 1).copy()), torch.from_numpy(labels.copy())


def class_frequencies(split: SplitTensors, num_classes: int) -> Tensor:
    """The fraction of labelled pixels that each class has, (C,) float64.

    Raises:
        DatasetError: no pixel of the split has a label.
    """
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for index in range(len(split)):
        _, labels = split[index]
        counts += torch.bincount(labels[labels != IGNORE].long(), minlength=num_classes)
    if not counts.sum():
        raise DatasetError(
            f"no pixel of the {len(split)} labels in split {split.name} of {split.dataset.path} has a class",
            "Correct the labels",
        )
    return counts / counts.sum()
