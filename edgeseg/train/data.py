"""A dataset's split as uint8 tensors, as the network will see its pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from edgeseg._native import available_cores
from edgeseg.data.class_counts import class_pixels
from edgeseg.data.dataset import Dataset, Sample, count_values
from edgeseg.data.sampling import spread
from edgeseg.errors import DatasetError
from edgeseg.runtime.preprocess import labels_to_canvas, to_canvas
from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import Placement, Size, place
from edgeseg.synthetic.classes import CAMVID_NAMES
from edgeseg.synthetic.street import StreetScene
from edgeseg.train.picture_cache import Pair, PictureCache, PicturesOfManySizes
from edgeseg.types import ImageU8, LabelsU8

CACHE_BYTES = 1 << 30
"""Splits that fit, the training split first, are kept decoded in memory, once for all processes of a machine."""

LOOKED_AT = 200
"""Pictures of a split that does not fit which are read before the first step. The rest is found out on the way."""


class SplitTensors(TorchDataset[Pair]):
    """The samples of a split, brought before the network the way the runtime does, read once where they fit in memory.

    Args:
        dataset: what the split is of.
        split: its name.
        size: (height, width) of the network's input.
        spec: says how pictures of another shape come before it; None stretches them. With tiles the samples are whole
            pictures, which are of many sizes.
        beside: bytes of memory that another split has taken.

    Attributes:
        cached: whether they are kept; with tiles, as far as they are no larger than the first.
        kept_bytes: memory for that.

    Raises:
        DatasetError: no such split, or, with tiles, its first sample cannot be used.
    """

    def __init__(
        self, dataset: Dataset, split: str, size: Size, spec: ModelSpec | None = None, *, beside: int = 0
    ) -> None:
        self.dataset = dataset
        self.name = split
        self.samples: list[Sample] = dataset.split(split).samples()
        self.size = size
        self.spec = spec
        tiles = spec is not None and spec.fit == "tile"
        self._cache: PictureCache | PicturesOfManySizes | None = None
        height, width = self[0][1].shape if tiles else size
        self.kept_bytes = len(self.samples) * height * width * 4
        self.cached = self.kept_bytes + beside <= CACHE_BYTES
        self.kept_bytes *= self.cached
        if self.cached:
            count = len(self.samples)
            self._cache = PicturesOfManySizes(CACHE_BYTES - beside) if tiles else PictureCache(count, size)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Pair:
        if self._cache is not None and (kept := self._cache.get(index)) is not None:
            return kept
        image, labels = self.dataset.read(self.samples[index], unions=True)
        pair = to_tensors(image, labels, self.place((labels.shape[0], labels.shape[1])))
        if self._cache is not None:
            self._cache.keep(index, pair)
        return pair

    def place(self, size: Size) -> Placement:
        """Where a picture of (height, width) ``size`` lies before the network."""
        return place("stretch", size, self.size) if self.spec is None else self.spec.place(size)

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

    def class_pixels_of_each(self) -> NDArray[np.int64]:
        """(N, C) labelled pixels of each class in each sample, at the size it is resized to where it is in memory.

        Raises:
            DatasetError: a file cannot be used.
        """
        labels = (self[index][1].numpy() if self.cached else self.file_labels(index) for index in range(len(self)))
        return np.array([count_values(one)[: self.dataset.num_classes] for one in labels])

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
