"""A dataset's split as uint8 tensors, as the network will see its pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from edgeseg._native import available_cores
from edgeseg.data.class_counts import class_pixels
from edgeseg.data.dataset import Dataset, Sample
from edgeseg.errors import DatasetError
from edgeseg.runtime.preprocess import labels_to_canvas, to_canvas
from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import Placement, Size, place
from edgeseg.synthetic.classes import CAMVID_NAMES
from edgeseg.synthetic.street import StreetScene
from edgeseg.types import ImageU8, LabelsU8

Pair = tuple[Tensor, Tensor]
"""Image (3, H, W) uint8 RGB, labels (H, W) uint8 with 255 = no label."""

CACHE_BYTES = 4 << 30
"""Splits that fit are kept decoded in memory."""


class SplitTensors(TorchDataset[Pair]):
    """The samples of a split, brought before the network the way the runtime does, read once where they fit in memory.

    Args:
        dataset: the dataset.
        split: the split's name.
        size: (height, width) of the network's input.
        spec: says how pictures of another shape come before it; None stretches them. With tiles the samples are whole
            pictures, which are of many sizes.

    Attributes:
        cached: whether all of them fit in memory; with tiles, if they are as large as the first.

    Raises:
        DatasetError: no such split, or, with tiles, its first sample cannot be used.
    """

    def __init__(self, dataset: Dataset, split: str, size: Size, spec: ModelSpec | None = None) -> None:
        self.dataset = dataset
        self.name = split
        self.samples: list[Sample] = dataset.split(split).samples()
        self.size = size
        self._spec = spec
        self._cache: dict[int, Pair] = {}
        self._cached_bytes = 0
        self.cached = False
        of_one = size if spec is None or spec.fit != "tile" else self[0][1].shape
        self.cached = len(self.samples) * of_one[0] * of_one[1] * 4 <= CACHE_BYTES

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Pair:
        if index in self._cache:
            return self._cache[index]
        image, labels = self.dataset.read(self.samples[index], unions=True)
        pair = to_tensors(image, labels, self.place((labels.shape[0], labels.shape[1])))
        size = 4 * pair[1].numel()
        if self.cached and self._cached_bytes + size <= CACHE_BYTES:
            self._cache[index] = pair
            self._cached_bytes += size
        return pair

    def place(self, size: Size) -> Placement:
        """Where a picture of (height, width) ``size`` lies before the network."""
        return place("stretch", size, self.size) if self._spec is None else self._spec.place(size)

    def file_labels(self, index: int) -> LabelsU8:
        """(H, W) uint8 labels at the label file's own size, 255 = no label."""
        return self.samples[index].read_labels()

    def read_all(self) -> None:
        """Read every sample, so that a file that cannot be used is found now, and the cache is full where there is one.

        Raises:
            DatasetError: a file cannot be used.
        """
        threads = ThreadPoolExecutor(min(available_cores(), len(self)))  # decoders let them run together
        try:
            for _ in threads.map(self.__getitem__, range(len(self))):
                pass
        finally:
            threads.shutdown(cancel_futures=True)

    def class_pixels_of_each(self) -> NDArray[np.int64]:
        """(N, C) labelled pixels of each class in each sample, at the size it is resized to where it is in memory.

        Raises:
            DatasetError: a file cannot be used.
        """
        classes = range(self.dataset.num_classes)
        labels = (self[index][1].numpy() if self.cached else self.file_labels(index) for index in range(len(self)))
        return np.array([[np.count_nonzero(one == index) for index in classes] for one in labels], dtype=np.int64)

    def class_pixels(self) -> NDArray[np.int64]:
        """(C,) labelled pixels of each class in the label files, which alone are read, and but once while they stay.

        Raises:
            DatasetError: a file cannot be used, or no pixel of the split has a label.
        """
        pixels = class_pixels(self.dataset, self.name)
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
            self._cache[street * MOMENTS_PER_STREET + moment] = to_tensors(
                *scene.render(time_s), place("stretch", self.size, self.size)
            )


def to_tensors(image: ImageU8, labels: LabelsU8, placement: Placement) -> Pair:
    """Image and labels of one size as tensors of the canvas that the network looks at; labels by nearest neighbour."""
    canvas, canvas_labels = to_canvas(image, placement), labels_to_canvas(labels, placement)
    pixels, classes = (torch.from_numpy(np.require(part, requirements=["C", "W"])) for part in (canvas, canvas_labels))
    return pixels.permute(2, 0, 1), classes


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
