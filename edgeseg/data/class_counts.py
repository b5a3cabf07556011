"""The pixels of each class in a split, counted once and kept in the cache until the labels or the classes change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.dataset import Dataset
from edgeseg.data.samples import Sample
from edgeseg.errors import EdgesegError
from edgeseg.files.cache_folder import cache_folder
from edgeseg.files.documents import read_json
from edgeseg.files.whole import write_whole

_RULES = 2
"""Raised when labels are read otherwise than before, so that nothing counted by older rules is used."""


def class_pixels(
    dataset: Dataset, split: str, progress: Callable[[Sequence[Sample]], Iterable[Sample]] = iter
) -> NDArray[np.int64]:
    """(C,) pixels of each class in the labels of a split: from the cache, or as :meth:`Dataset.class_pixels` counts.

    What was counted holds for as long as the list of pictures and labels, the sizes and times of change of all that the
    labels are made from, the dataset.yaml and the classes stay. Without a usable cache, each time is the first.

    Args:
        dataset, split: whose.
        progress: wraps the samples while they are counted; not called where they have been.

    Raises:
        DatasetError: no such split, or its files cannot be used.
    """
    kept = _place(dataset, split)
    if kept is not None and (known := _read(kept, dataset.num_classes)) is not None:
        return known
    counts = dataset.class_pixels(split, progress)
    _write(kept, counts)
    return counts


def keep_class_pixels(dataset: Dataset, split: str, counts: NDArray[np.int64]) -> None:
    """Keep (C,) pixels that have been counted while the labels of a split were read for something else.

    Raises:
        DatasetError: no such split, or its files cannot be listed.
    """
    _write(_place(dataset, split), counts)


def _write(place: Path | None, counts: NDArray[np.int64]) -> None:
    if place is not None:
        with suppress(EdgesegError):  # a disk that is full must not end a training
            write_whole(place, json.dumps({"pixels": counts.tolist()}))


def _place(dataset: Dataset, split: str) -> Path | None:
    """The file for what is counted; None where there can be no cache, or a file is not to be asked."""
    own = dataset.split(split)
    samples = own.samples()
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        digest.update(repr(parts).encode("utf-8", "surrogatepass"))

    try:
        add(_RULES, dataset.format, dataset.names, dataset.coding, os.path.realpath(dataset.path))
        add(_state(dataset.path))
        add(own.meaning, [(str(path), _state(path)) for path in own.sources])
        label = Path()
        for sample in samples:
            if sample.label != label:  # several pictures may share one
                label = sample.label
                add(str(label), _state(label))
            add(str(sample.image))
        return cache_folder("class-counts") / f"{digest.hexdigest()[:32]}.json"
    except (OSError, EdgesegError):
        return None


def _state(path: Path) -> tuple[int, int] | None:
    """What changes with a file; None of one that is not there, as where YOLO has nothing to say of a picture."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _read(path: Path, classes: int) -> NDArray[np.int64] | None:
    """What is kept there; None where nothing is, or nothing that can be believed."""
    if not path.exists():
        return None
    try:
        pixels = read_json(path)["pixels"]
        counts = np.array(pixels, dtype=np.int64)
    except (EdgesegError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return counts if counts.shape == (classes,) and counts.min() >= 0 else None
