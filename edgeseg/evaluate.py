"""Measure a model on a dataset, or a folder of predictions against a folder of labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.dataset import LABEL_SUFFIXES, Dataset, LabelCoding, index_by_stem, list_images
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.metrics import ConfusionMatrix
from edgeseg.palette import IGNORE
from edgeseg.segmenter import Segmenter

Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps the sequence of files that is worked through, to show how far it has come."""


@dataclass(frozen=True)
class LabelScheme:
    """The classes of a label folder, and how its files say "no label".

    Attributes:
        names: one per class.
        labels: how label files are read.
        predictions: how prediction files are read: always as index, as ``edgeseg run --save-masks`` writes them.
        origin: where this comes from, in words.
    """

    names: tuple[str, ...]
    labels: LabelCoding
    predictions: LabelCoding
    origin: str

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> LabelScheme:
        """What a dataset.yaml says."""
        indices = LabelCoding(dataset.num_classes, dataset.coding.ignore_index)
        return cls(dataset.names, dataset.coding, indices, str(dataset.path))

    @classmethod
    def of_count(cls, num_classes: int, ignore_index: int | None, origin: str) -> LabelScheme:
        """Nameless classes; they are called by their index."""
        coding = LabelCoding(num_classes, ignore_index)
        return cls(tuple(str(index) for index in range(num_classes)), coding, coding, origin)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a measurement found.

    Attributes:
        class_names: one per class.
        confusion: the pixels counted; all figures come from it.
        images: how many images were measured.
        origin: where the classes come from, in words.
    """

    class_names: tuple[str, ...]
    confusion: ConfusionMatrix
    images: int
    origin: str

    def to_dict(self) -> dict[str, Any]:
        """All figures as fractions of 1, ready for JSON; None where a figure is undefined."""
        confusion = self.confusion
        columns = (confusion.iou(), confusion.class_accuracy(), confusion.dice(), confusion.pixels())
        return {
            "images": self.images,
            "classes_from": self.origin,
            "miou": _defined(confusion.miou()),
            "pixel_accuracy": _defined(confusion.pixel_accuracy()),
            "class_accuracy": _defined(confusion.mean_class_accuracy()),
            "dice": _defined(confusion.mean_dice()),
            "classes": [
                {
                    "name": name,
                    "iou": _defined(iou),
                    "accuracy": _defined(accuracy),
                    "dice": _defined(dice),
                    "pixels": int(pixels),
                }
                for name, iou, accuracy, dice, pixels in zip(self.class_names, *columns, strict=True)
            ],
            "confusion": confusion.matrix.tolist(),
        }


def evaluate(segmenter: Segmenter, dataset: Dataset, split: str = "val", progress: Progress = iter) -> Evaluation:
    """Label every image of a split and compare at the label file's own size.

    Raises:
        ModelError: the model's classes are not the dataset's, or it failed.
        DatasetError: the split, an image or a label cannot be used.
    """
    check_same_classes(segmenter.spec.class_names, dataset)
    samples = dataset.split(split).samples()
    confusion = ConfusionMatrix(dataset.num_classes)
    for sample in progress(samples):
        image, labels = dataset.read(sample)
        confusion.update(labels, segmenter(image).labels)
    return Evaluation(dataset.names, confusion, len(samples), str(dataset.path))


def check_same_classes(names: tuple[str, ...], dataset: Dataset) -> None:
    """Raise ModelError unless a model of these class names is one for this dataset."""
    if names == dataset.names:
        return
    if len(names) != dataset.num_classes:
        difference = f"the model has {len(names)} classes, {dataset.path} has {dataset.num_classes}"
    else:
        index = next(i for i, (ours, theirs) in enumerate(zip(names, dataset.names, strict=True)) if ours != theirs)
        difference = f"class {index} is {names[index]!r} to the model, but {dataset.names[index]!r} to {dataset.path}"
    raise ModelError(difference, "Evaluate a model on the classes it was trained for")


def evaluate_predictions(
    predictions: Path,
    labels: Path,
    *,
    dataset: Dataset | None = None,
    num_classes: int | None = None,
    ignore_index: int | None = None,
    progress: Progress = iter,
) -> Evaluation:
    """Compare two folders of index images, paired by file stem.

    The classes are those of ``dataset``; or as many as ``num_classes`` and ``ignore_index`` say; or those of the
    dataset.yaml that has ``labels`` as one of its splits; or else 0 up to the highest index found. A prediction that
    holds the "no label" value where there is a label counts as a miss.

    Args:
        predictions: folder of index images.
        labels: folder of label images.
        dataset: the classes and the label format.
        num_classes: number of classes; None to take the highest index found.
        ignore_index: the value that means "no label" in both folders, beside 255.
        progress: wraps the sequence of pairs.

    Raises:
        InputError: ``dataset`` together with ``num_classes`` or ``ignore_index``.
        DatasetError: files without a partner, of different sizes, unreadable, with an index outside the classes, or
            the meaning of a label value is in doubt.
    """
    explicit = num_classes is not None or ignore_index is not None
    if dataset is not None and explicit:
        raise InputError(
            f"{dataset.path} already says how many classes there are and which value means 'no label'",
            "Leave out num_classes and ignore_index, or the dataset",
        )
    pairs = _pairs(predictions, labels)
    dataset = dataset or (None if explicit else Dataset.find_above(labels))
    if dataset is not None:
        scheme = LabelScheme.of_dataset(dataset)
    elif num_classes is not None:
        scheme = LabelScheme.of_count(num_classes, ignore_index, f"{num_classes} classes, as told")
    else:
        scheme = _infer_scheme(pairs, ignore_index)
    confusion = ConfusionMatrix(len(scheme.names))
    for prediction, label in progress(pairs):
        truth, predicted = scheme.labels.read(label), scheme.predictions.read(prediction)
        if truth.shape != predicted.shape:
            raise DatasetError(
                f"{prediction} is {predicted.shape[1]}x{predicted.shape[0]} "
                f"but its label {label} is {truth.shape[1]}x{truth.shape[0]}",
                "Save predictions at the size of the labels",
            )
        confusion.update(truth, predicted)
    return Evaluation(scheme.names, confusion, len(pairs), scheme.origin)


def _pairs(predictions: Path, labels: Path) -> list[tuple[Path, Path]]:
    by_stem = [index_by_stem(list_images(folder, LABEL_SUFFIXES)) for folder in (predictions, labels)]
    predicted, truth = by_stem
    for folder, lone, other in (
        (labels, sorted(truth.keys() - predicted.keys()), predictions),
        (predictions, sorted(predicted.keys() - truth.keys()), labels),
    ):
        if lone:
            shown = ", ".join(lone[:3]) + (" …" if len(lone) > 3 else "")
            raise DatasetError(
                f"{len(lone)} file(s) in {folder} have no partner in {other}: {shown}",
                "Give each label one prediction of the same file stem",
            )
    return [(predicted[stem], truth[stem]) for stem in sorted(truth)]


def _infer_scheme(pairs: Sequence[tuple[Path, Path]], ignore_index: int | None) -> LabelScheme:
    """Classes 0 up to the highest index found, unless it is in doubt whether that one means "no label"."""
    coding = LabelCoding(None, ignore_index)
    seen = np.zeros((2, IGNORE + 1), dtype=bool)
    for pair in pairs:
        for row, path in enumerate(pair):
            seen[row, np.unique(coding.read(path))] = True
    predicted, true = (np.flatnonzero(row[:IGNORE]) for row in seen)
    doubtful = true[true > predicted.max(initial=-1)]
    if doubtful.size and ignore_index is None:
        index = int(doubtful[-1])
        raise DatasetError(
            f"labels hold index {index}, which no prediction holds: is it a class or 'no label'? "
            f"Pass --ignore-index {index} or --num-classes {index + 1}"
        )
    highest = int(max(true.max(initial=-1), predicted.max(initial=-1)))
    if highest < 0:
        raise DatasetError(
            "no prediction and no label holds a class index", "Pass index images: 0, 1, 2, … for classes"
        )
    return LabelScheme.of_count(highest + 1, ignore_index, f"0..{highest}, the highest index found")


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
