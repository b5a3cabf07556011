"""What a model says of pictures, kept as files: soft labels to teach with, or index PNGs to be taken for labels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.dataset import Dataset
from edgeseg.data.pictures import read_image
from edgeseg.data.soft_labels import SoftLabels
from edgeseg.errors import DatasetError, InputError, ModelError, SinkError
from edgeseg.files.whole import cannot_write, written_whole
from edgeseg.runtime.postprocess import placed_values
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.spec.palette import IGNORE
from edgeseg.types import Frame, Inference, LabelsU8


@dataclass(frozen=True)
class Predicted:
    """What has been written.

    Attributes:
        pictures: how many.
        file_bytes: of all their files.
        labelled: the share of pixels that have a label, 0..1; 1 for soft labels.
    """

    pictures: int
    file_bytes: int
    labelled: float = 1.0


def pictures_of(dataset: Dataset, split: str) -> Iterator[Frame]:
    """The pictures of a split, without their labels, named by their stems.

    Raises:
        DatasetError: no such split, or a picture cannot be read.
    """
    for index, path in enumerate(dataset.pictures(split)):
        yield Frame(read_image(path, bit_depth=dataset.bit_depth), index, time.monotonic(), name=path.stem)


def predict_probabilities(segmenter: Segmenter, frames: Iterable[Frame], folder: Path) -> Predicted:
    """Write soft labels of pictures, at the size of the model's logits; see :mod:`edgeseg.data.soft_labels`.

    Raises:
        ModelError: the model returns labels, or failed.
        SinkError: a file cannot be written, two pictures have one name, or the folder has soft labels of another model.
        EdgesegError: a picture cannot be read.
    """
    spec = segmenter.spec
    check_returns_logits(spec, "soft labels")
    kept: SoftLabels | None = None
    file_bytes = 0
    names = _Names(folder)
    for frame in frames:
        logits = np.asarray(segmenter.infer([frame.rgb_u8])[0].output[0], dtype=np.float32)
        if kept is None:
            kept = SoftLabels(folder, spec.class_names, (logits.shape[1], logits.shape[2]), spec.network)
            kept.begin()
        file_bytes += kept.write(names.of(frame), logits)
    if kept is None:
        raise DatasetError("there is no picture to look at", "Correct the source")
    return Predicted(len(names), file_bytes)


def predict_labels(
    segmenter: Segmenter, frames: Iterable[Frame], folder: Path, *, confidence: float = 0.0
) -> Predicted:
    """Write the labels of pictures, at their own size, as grey PNGs of class indices.

    Args:
        segmenter: the model.
        frames: the pictures.
        folder: made where it is missing.
        confidence: pixels whose class has a smaller probability get 255, "no label".

    Raises:
        InputError: the confidence is no probability.
        ModelError: the model returns labels and no probabilities, and a confidence is asked for; or it failed.
        SinkError: a file cannot be written or is there already, or two pictures have one name.
        EdgesegError: a picture cannot be read.
    """
    if not 0 <= confidence <= 1:
        raise InputError(f"the confidence is {confidence:g}", "Give 0 to 1")
    if confidence:
        check_returns_logits(segmenter.spec, "a confidence")
    names = _Names(folder)
    file_bytes = pixels = labelled = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
    for frame in frames:
        inference = segmenter.infer([frame.rgb_u8])[0]
        labels = segmenter.finish(inference).labels
        if confidence:
            labels = _sure(labels, inference, confidence)
        pixels, labelled = pixels + labels.size, labelled + int((labels != IGNORE).sum())
        _, png = cv2.imencode(".png", labels)
        file = folder / f"{names.of(frame)}.png"
        if os.path.lexists(file):
            raise SinkError(f"{file} is there already, and may be a label that somebody drew", "Write to a new folder")
        with written_whole(file, durable=False) as part:
            part.write_bytes(png.tobytes())
        file_bytes += png.size
    if not pixels:
        raise DatasetError("there is no picture to look at", "Correct the source")
    return Predicted(len(names), file_bytes, labelled / pixels)


def check_returns_logits(spec: ModelSpec, wanted: str) -> None:
    """Raise ModelError unless a model says how sure it is."""
    if spec.output != "logits":
        raise ModelError(
            f"the model returns labels, of which {wanted} cannot be made", "Export it again with head logits"
        )


def _sure(labels: LabelsU8, inference: Inference, confidence: float) -> LabelsU8:
    """The labels, with 255 where the largest probability, enlarged to their size, is below ``confidence``."""
    logits: NDArray[np.float32] = np.asarray(inference.output[0], dtype=np.float32)
    largest = 1 / np.exp(logits - logits.max(axis=0)).sum(axis=0)
    enlarged = placed_values(largest, inference.placement)
    return np.where(enlarged >= confidence, labels, np.uint8(IGNORE)).astype(np.uint8)


class _Names:
    """What the files of frames are called: as their pictures, or the number of the frame."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def of(self, frame: Frame) -> str:
        name = frame.name or f"{frame.index:06d}"
        if name in self._taken:
            raise SinkError(
                f"two images are called {name}, and {self._folder} has room for one file of that name",
                "Look at each folder alone",
            )
        self._taken.add(name)
        return name
