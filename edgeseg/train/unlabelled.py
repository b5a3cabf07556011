"""Pictures that nobody has labelled, and the two views of each: one to label it from, one to learn from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset
from torch.utils.data import Dataset as TorchDataset

from edgeseg.data.dataset import Dataset
from edgeseg.data.image_files import list_images
from edgeseg.data.pictures import read_image
from edgeseg.errors import DatasetError, InputError
from edgeseg.runtime.preprocess import to_input
from edgeseg.train.augment import Draw, jitter_color
from edgeseg.train.config import TrainConfig
from edgeseg.train.geometry import Geometry
from edgeseg.types import ImageU8
from edgeseg.video.sources.registry import open_source

CACHE_BYTES = 4 << 30
"""Pictures without labels that fit are kept in memory; of a video, whose frames cannot be read again one by one, as
many as do."""

UNKNOWN = 255
"""Of a tag: nobody said whether the class is in the picture."""

_WHOLE = 0.99
"""A view that shows so much of a picture has all of the classes that its tags name."""

Tagged = tuple[Tensor, Tensor]
"""Image (3, H, W) uint8 RGB, and tags (C,) uint8: 1 in the picture, 0 not in it, 255 unknown."""


class Views(NamedTuple):
    """Two views of pictures, alike in geometry.

    Attributes:
        weak: (N, 3, H, W) uint8, in the colours of the picture.
        strong: (N, 3, H, W) uint8, in other colours, some grey, some blurred.
        inside: (N, h, w) uint8, 1 where the losses' grid shows the picture.
        tags: (N, C) uint8: 1 in the view, 0 not in it, 255 unknown.
    """

    weak: Tensor
    strong: Tensor
    inside: Tensor
    tags: Tensor


class UnlabelledViews(TorchDataset[tuple[Tensor, ...]]):
    """The views of each picture, drawn as :class:`edgeseg.train.augment.Augmented` draws its samples."""

    def __init__(self, pictures: TorchDataset[Tagged], count: int, config: TrainConfig) -> None:
        self.pictures = pictures
        self.count = count
        self.geometry = Geometry(config)
        self.jitter = config.unlabelled_jitter

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: Draw) -> tuple[Tensor, ...]:
        index, seed = draw
        chance = torch.Generator().manual_seed(seed)
        image, tags = self.pictures[index]
        size = (image.shape[1], image.shape[2])
        matrix = self.geometry.draw(size, chance)
        weak = self.geometry.image(image, matrix)
        strong = strong_view(weak, self.jitter, chance)
        if self.geometry.shown(size, matrix) < _WHOLE:
            tags = torch.where(tags == 1, UNKNOWN, tags)  # what was in the picture may lie beyond the crop
        views = (torch.from_numpy(view).permute(2, 0, 1) for view in (weak, strong))
        return *views, torch.from_numpy(self.geometry.inside(size, matrix)), tags


def strong_view(image: ImageU8, amount: float, chance: torch.Generator) -> ImageU8:
    """Other colours (:func:`edgeseg.train.augment.jitter_color`), a fifth of them grey, half of them blurred.

    As UniMatch has it (Yang and others, CVPR 2023, arXiv:2208.09910).
    """
    changed = jitter_color(image, amount, chance)
    grey, blur, sigma = torch.rand(3, generator=chance).tolist()
    if grey < 0.2:
        changed = np.asarray(cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if blur < 0.5:
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), sigmaX=0.1 + 1.9 * sigma), np.uint8)
    return changed


@dataclass(frozen=True)
class UnlabelledPictures:
    """All pictures without labels of a run.

    Attributes:
        pictures: with their tags.
        cached: whether they are kept in memory.
    """

    pictures: ConcatDataset[Tagged]
    cached: bool


def open_unlabelled(config: TrainConfig, dataset: Dataset) -> UnlabelledPictures | None:
    """The pictures without labels that a configuration names; None for none.

    Raises:
        InputError: there is no such folder or video.
        SourceError: a video that cannot be read.
        DatasetError: no such split, or pictures or tags that cannot be used.
    """
    parts: list[UnlabelledFiles | UnlabelledFrames] = []
    if config.unlabelled:
        path = Path(str(config.unlabelled))
        if os.path.isdir(path):
            nothing = torch.full((dataset.num_classes,), UNKNOWN, dtype=torch.uint8)
            files = list_images(path)
            parts.append(UnlabelledFiles(files, [nothing] * len(files), config.input_size, dataset.bit_depth))
        elif os.path.exists(path):
            parts.append(UnlabelledFrames(path, config.input_size, dataset.num_classes))
        else:
            raise InputError(f"there are no unlabelled pictures {path}", "Name a folder of images, or a video")
    if config.tagged_split:
        if config.tagged_split not in dataset.tagged:
            listed = f"one of {', '.join(dataset.tagged)}" if dataset.tagged else "no tagged_split"
            what = f"{dataset.path} has no split {config.tagged_split!r} with tags"
            raise DatasetError(what, f"Use {listed}")
        pictures = dataset.tagged[config.tagged_split].pictures()
        tags = [_as_row(one.classes, dataset.num_classes) for one in pictures]
        parts.append(UnlabelledFiles([one.image for one in pictures], tags, config.input_size, dataset.bit_depth))
    if not parts:
        return None
    return UnlabelledPictures(ConcatDataset(parts), all(part.cached for part in parts))


def _as_row(classes: frozenset[int], num_classes: int) -> Tensor:
    row = torch.zeros(num_classes, dtype=torch.uint8)
    row[sorted(classes)] = 1
    return row


class UnlabelledFiles(TorchDataset[Tagged]):
    """Image files resized to one size, read once where they fit in memory.

    Args:
        files: the images.
        tags: (C,) uint8 of each.
        size: (height, width).
        bit_depth: of images with more than 8 bits.
    """

    def __init__(self, files: Sequence[Path], tags: Sequence[Tensor], size: tuple[int, int], bit_depth: int | None):
        self.files = list(files)
        self.tags = list(tags)
        self.size = size
        self.bit_depth = bit_depth
        self.cached = len(self.files) * size[0] * size[1] * 3 <= CACHE_BYTES
        self._cache: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tagged:
        image = self._cache.get(index)
        if image is None:
            image = _to_tensor(read_image(self.files[index], bit_depth=self.bit_depth), self.size)
            if self.cached:
                self._cache[index] = image
        return image, self.tags[index]


class UnlabelledFrames(TorchDataset[Tagged]):
    """The frames of a video, resized to one size and kept in memory: all of them, or as many as fit, evenly spread.

    It is decoded once, from its beginning to its end.

    Raises:
        SourceError: it cannot be read.
        InputError: a source that has no end.
    """

    cached = True

    def __init__(self, video: Path, size: tuple[int, int], num_classes: int, *, most_bytes: int = CACHE_BYTES) -> None:
        self._nothing = torch.full((num_classes,), UNKNOWN, dtype=torch.uint8)
        self._frames: list[Tensor] = []
        most = max(1, most_bytes // (size[0] * size[1] * 3))
        every = 1
        with closing(open_source(video)) as source:
            if source.info.live:
                raise InputError(f"{video} has no end", "Name a folder of images, or a video file")
            for index, frame in enumerate(source):
                if index % every:
                    continue
                if len(self._frames) == most:  # leave out every second one, of those to come too
                    self._frames = self._frames[::2]
                    every *= 2
                    if index % every:
                        continue
                self._frames.append(_to_tensor(frame.rgb_u8, size))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tagged:
        return self._frames[index], self._nothing


def _to_tensor(image: ImageU8, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(to_input(image, size)[0].transpose(2, 0, 1).copy())
