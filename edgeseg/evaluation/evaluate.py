"""Measure a model on a dataset, or a folder of predictions against a folder of labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.data.dataset import LABEL_SUFFIXES, Dataset, LabelCoding, Sample, index_by_stem, list_images
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.evaluation.metrics import ConfusionMatrix, left_out
from edgeseg.segmenter import Segmenter
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps the sequence of files that is worked through, to show how far it has come."""


class DoubtfulIndexError(DatasetError):
    """A label value that may be a class or mean "no label".

    Args:
        index: the value.
        remedy: how to say what it is; None for the arguments of :func:`evaluate_predictions`.
    """

    def __init__(self, index: int, remedy: str | None = None) -> None:
        self.index = index
        remedy = remedy or f"Set ignore_index to {index} or num_classes to {index + 1}"
        super().__init__(f"labels hold index {index}, which no prediction holds: is it a class or 'no label'? {remedy}")


@dataclass(frozen=True)
class LabelScheme:
    """The classes of a label folder, and how its files say "no label".

    Attributes:
        names: one per class.
        labels: how label files are read.
        predictions: how prediction files are read: as index, as ``edgeseg run --save-masks`` writes them, or as masks.
        origin: where this comes from, in words.
    """

    names: tuple[str, ...]
    labels: LabelCoding
    predictions: LabelCoding
    origin: str

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> LabelScheme:
        """What a dataset.yaml says; predictions for masks may be masks themselves."""
        if dataset.coding.format == "binary":
            return cls(dataset.names, dataset.coding, LabelCoding(2, format="binary"), str(dataset.path))
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
        labels: how many label files there are, measured or not.
    """

    class_names: tuple[str, ...]
    confusion: ConfusionMatrix
    images: int
    origin: str
    labels: int

    def left_out(self) -> str:
        """What the means leave out, in words; empty where they are over all classes.

        Classes that are predicted but have no pixel count in the mean IoU and Dice, as 0, and not in the mean accuracy.
        """
        iou, accuracy = (
            left_out(figures, self.class_names) for figures in (self.confusion.iou(), self.confusion.class_accuracy())
        )
        if iou == accuracy:
            return iou
        return f"{iou + '; ' if iou else ''}accuracy {accuracy}"

    def to_dict(self) -> dict[str, Any]:
        """All figures as fractions of 1, ready for JSON; None where a figure is undefined."""
        confusion = self.confusion
        columns = (confusion.iou(), confusion.class_accuracy(), confusion.dice(), confusion.pixels())
        return {
            "images": self.images,
            "labels": self.labels,
            "classes_from": self.origin,
            "left_out": self.left_out(),
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
    confusion = count(segmenter, dataset, progress(samples))
    return Evaluation(dataset.names, confusion, len(samples), str(dataset.path), len(samples))


def count(segmenter: Segmenter, dataset: Dataset, samples: Iterable[Sample]) -> ConfusionMatrix:
    """Label the images of some samples and count the pixels, at the label file's own size.

    Raises:
        ModelError: the model failed.
        DatasetError: an image or a label cannot be used.
    """
    read = (dataset.read(sample) for sample in samples)
    return ConfusionMatrix.of(dataset.num_classes, ((labels, segmenter(image).labels) for image, labels in read))


def dataset_of(data: Dataset | str | Path) -> Dataset:
    """A data set, or the one that a path names.

    Raises:
        DatasetError: as :meth:`edgeseg.data.dataset.Dataset.load`.
    """
    return data if isinstance(data, Dataset) else Dataset.load(data)


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
    partial: bool = False,
    progress: Progress = iter,
) -> Evaluation:
    """Compare two folders of index images, paired by file stem.

    The classes are those of ``dataset``; or as many as ``num_classes`` and ``ignore_index`` say; or those of the
    dataset.yaml that has ``labels`` as one of its splits; or else 0 up to the highest index found, or two where the
    labels hold 0 and 255 and nothing else. A prediction that holds the "no label" value where there is a label counts
    as a miss.

    Args:
        predictions: folder of index images.
        labels: folder of label images.
        dataset: the classes and the label format.
        num_classes: number of classes; None to take the highest index found.
        ignore_index: the value that means "no label" in both folders, beside 255.
        partial: labels without a prediction are left out, and the evaluation says how many there were.
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
    dataset = dataset or (None if explicit else Dataset.find_above(labels))
    pairs, count = _pairs(predictions, labels, dataset.coding.suffixes if dataset else LABEL_SUFFIXES, partial)
    if dataset is not None:
        scheme = LabelScheme.of_dataset(dataset)
    elif num_classes is not None:
        scheme = LabelScheme.of_count(num_classes, ignore_index, f"{num_classes} classes, as told")
    else:
        scheme = _infer_scheme(pairs, ignore_index)
    confusion = ConfusionMatrix.of(len(scheme.names), _read_pairs(progress(pairs), scheme))
    return Evaluation(scheme.names, confusion, len(pairs), scheme.origin, count)


def _pairs(
    predictions: Path, labels: Path, suffixes: frozenset[str], partial: bool
) -> tuple[list[tuple[Path, Path]], int]:
    """(prediction, label) by stem, in natural order, and how many labels there are."""
    predicted, truth = (
        index_by_stem(list_images(predictions, LABEL_SUFFIXES)),
        index_by_stem(list_images(labels, suffixes)),
    )
    without = [] if partial else [stem for stem in truth if stem not in predicted]
    for folder, lone, other, remedy in (
        (labels, without, predictions, "Predict the others too, or set partial to measure those that there are"),
        (predictions, [stem for stem in predicted if stem not in truth], labels, "Remove them, or label their images"),
    ):
        if lone:
            shown = ", ".join(lone[:3]) + (" …" if len(lone) > 3 else "")
            raise DatasetError(f"{len(lone)} file(s) in {folder} have no partner in {other}: {shown}", remedy)
    return [(predicted[stem], label) for stem, label in truth.items() if stem in predicted], len(truth)


def _read_pairs(pairs: Iterable[tuple[Path, Path]], scheme: LabelScheme) -> Iterator[tuple[LabelsU8, LabelsU8]]:
    """Truth and prediction of each."""
    for prediction, label in pairs:
        truth, predicted = scheme.labels.read(label), scheme.predictions.read(prediction)
        if truth.shape != predicted.shape:
            raise DatasetError(
                f"{prediction} is {predicted.shape[1]}x{predicted.shape[0]} "
                f"but its label {label} is {truth.shape[1]}x{truth.shape[0]}",
                "Save predictions at the size of the labels",
            )
        yield truth, predicted


def _infer_scheme(pairs: Sequence[tuple[Path, Path]], ignore_index: int | None) -> LabelScheme:
    """Classes 0 up to the highest index found, unless it is in doubt whether that one means "no label"; or masks."""
    coding = LabelCoding(None, ignore_index)
    seen = np.zeros((2, IGNORE + 1), dtype=bool)
    for pair in pairs:
        for row, path in enumerate(pair):
            seen[row, np.unique(coding.read(path))] = True
    predicted, true = (np.flatnonzero(row[:IGNORE]) for row in seen)
    if ignore_index is None and seen[1, IGNORE] and not true.any() and predicted.max(initial=0) <= 1:
        masks = LabelCoding(2, format="binary")
        return LabelScheme(("0", "1"), masks, masks, "0 and 1: the labels hold 0 and 255 alone, as masks do")
    doubtful = true[true > predicted.max(initial=-1)]
    if doubtful.size and ignore_index is None:
        raise DoubtfulIndexError(int(doubtful[-1]))
    highest = int(max(true.max(initial=-1), predicted.max(initial=-1)))
    if highest < 0:
        raise DatasetError(
            "no prediction and no label holds a class index", "Pass index images: 0, 1, 2, … for classes"
        )
    return LabelScheme.of_count(highest + 1, ignore_index, f"0..{highest}, the highest index found")


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
