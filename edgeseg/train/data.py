"""A dataset's split as uint8 tensors of the model's input size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from edgeseg._native import available_cores
from edgeseg.data.dataset import Dataset, Sample
from edgeseg.data.sampling import spread
from edgeseg.errors import DatasetError
from edgeseg.runtime.preprocess import to_input
from edgeseg.synthetic.classes import CAMVID_NAMES
from edgeseg.synthetic.street import StreetScene
from edgeseg.train.picture_cache import Pair, PictureCache
from edgeseg.types import ImageU8, LabelsU8

CACHE_BYTES = 1 << 30
"""Splits that fit, the training split first, are kept decoded in memory, once for all processes of a machine."""

LOOKED_AT = 200
"""Pictures of a split that does not fit which are read before the first step. The rest is found out on the way."""


class SplitTensors(TorchDataset[Pair]):
    """The samples of a split, resized to one size the way the runtime resizes, read once where they fit in memory.

    Args:
        dataset: what the split is of.
        split: its name.
        size: (height, width) of the samples.
        beside: bytes of memory that another split has taken.

    Attributes:
        cached: whether they are kept.
        kept_bytes: memory for that.
    """

    def __init__(self, dataset: Dataset, split: str, size: tuple[int, int], *, beside: int = 0) -> None:
        self.dataset = dataset
        self.name = split
        self.samples: list[Sample] = dataset.split(split).samples()
        self.size = size
        self.kept_bytes = len(self.samples) * size[0] * size[1] * 4
        self.cached = self.kept_bytes + beside <= CACHE_BYTES
        self.kept_bytes *= self.cached
        self._cache = PictureCache(len(self.samples), size) if self.cached else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Pair:
        if self._cache is not None and (kept := self._cache.get(index)) is not None:
            return kept
        pair = to_tensors(*self.dataset.read(self.samples[index]), self.size)
        if self._cache is not None:
            self._cache.keep(index, pair)
        return pair

    def image_path(self, index: int) -> Path:
        return self.samples[index].image

    def file_labels(self, index: int) -> LabelsU8:
        """(H, W) uint8 labels at the label file's own size, 255 = no label."""
        return self.samples[index].read_labels()

    def read_all(self) -> None:
        """Read every sample, so that a file that cannot be used is found now, and the cache is full where there is one.

        Of a split that does not fit in memory two hundred are read, spread evenly. Processes that share a cache each
        read a part.

        Raises:
            DatasetError: a file cannot be used.
        """
        indices = spread(range(len(self)), LOOKED_AT)
        if self._cache is not None:
            indices = list(range(len(self)))[self._cache.reader :: self._cache.readers]
        threads = ThreadPoolExecutor(min(available_cores(), len(self)))  # decoders let them run together
        try:
            for _ in threads.map(self.__getitem__, indices):
                pass
        finally:
            threads.shutdown(cancel_futures=True)

    def class_pixels(self) -> NDArray[np.int64]:
        """(C,) labelled pixels of each class in the label files, which alone are read.

        Raises:
            DatasetError: a file cannot be used, or no pixel of the split has a label.
        """
        pixels = self.dataset.class_pixels(self.name)
        if not pixels.any():
            raise DatasetError(
                f"no pixel of the {len(self)} labels in split {self.name} of {self.dataset.path} has a class",
                "Correct the labels",
            )
        return pixels


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

    def render_all(self) -> None:
        """Render what has not been asked for yet."""
        for index in range(self.count):
            self[index]

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


def check_classes(split: SplitTensors, pixels: NDArray[np.int64], scenes: SyntheticTensors) -> None:
    """Refuse to train what cannot be learned: one class alone, or a class that no training picture shows.

    Args:
        split: to train on.
        pixels: (C,) labelled pixels of each class in it.
        scenes: rendered pictures that are trained on as well.

    Raises:
        DatasetError: with the classes.
    """
    names = split.dataset.names
    if len(names) < 2:
        raise DatasetError(
            f"{split.dataset.path} names one class, and there is nothing to tell it from",
            "Name a class for all else, such as background, and label its pixels",
        )
    missing = {index for index in range(len(names)) if not pixels[index]}
    for index in range(len(scenes)):
        if not missing:
            return
        missing -= set(np.unique(scenes[index][1].numpy()).tolist())
    if missing:
        listed = ", ".join(names[index] for index in sorted(missing))
        masks = (
            "; where the second class is 255 in the label files, set label_format: binary" if len(names) == 2 else ""
        )
        raise DatasetError(
            f"no pixel of split {split.name} of {split.dataset.path} has class {listed}",
            f"Label some, move pictures that show it into the split, or take it out of names{masks}",
        )
