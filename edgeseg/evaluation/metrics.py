"""Figures of merit of a segmentation, all from one confusion matrix, and the words for what a mean leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.spec.palette import IGNORE, MAX_CLASSES
from edgeseg.types import LabelsU8

_AT_A_TIME = 1 << 22
"""Pixels counted at a time: fourteen times as many bytes are needed for it."""

_NAMED = 5
"""Classes that a line names before it counts the others."""


class ConfusionMatrix:
    """Pixels counted by true and predicted class.

    Pixels whose truth is 255 do not count. A prediction of 255 where there is a truth is a miss: it belongs to no
    class, so it lowers the accuracy and IoU of the true class. Per-class figures are fractions of 1, NaN where they are
    undefined (a class in neither truth nor prediction), and NaN is left out of every mean.

    Attributes:
        num_classes: C.
        matrix: (C, C) int64, truth by prediction.
        unlabelled: (C,) int64, pixels of each true class for which the prediction is 255.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= MAX_CLASSES:
            raise InputError(f"{num_classes} classes", f"Use 1 to {MAX_CLASSES}")
        self.num_classes = num_classes
        self.matrix: NDArray[np.int64] = np.zeros((num_classes, num_classes), dtype=np.int64)
        self.unlabelled: NDArray[np.int64] = np.zeros(num_classes, dtype=np.int64)

    @classmethod
    def of(cls, num_classes: int, pairs: Iterable[tuple[LabelsU8, LabelsU8]]) -> ConfusionMatrix:
        """The pixels of many images, each its ground truth and what was predicted, as :meth:`update` takes them."""
        confusion = cls(num_classes)
        for labels, predictions in pairs:
            confusion.update(labels, predictions)
        return confusion

    def update(self, labels: LabelsU8, predictions: LabelsU8) -> None:
        """Count the pixels of one image or a batch.

        Args:
            labels: uint8 ground truth of any shape, 255 = no label.
            predictions: uint8 predicted classes of the same shape.

        Raises:
            InputError: shapes or dtypes differ, or an index that is no class and not 255; nothing is counted then.
        """
        if labels.shape != predictions.shape or labels.dtype != np.uint8 or predictions.dtype != np.uint8:
            raise InputError(
                f"labels are {labels.shape} {labels.dtype}, predictions {predictions.shape} {predictions.dtype}",
                "Pass uint8 arrays of one shape",
            )
        counts = np.zeros((256, 256), dtype=np.int64)
        truth, predicted = labels.reshape(-1), predictions.reshape(-1)
        for begin in range(0, truth.size, _AT_A_TIME):
            part = slice(begin, begin + _AT_A_TIME)
            pairs = truth[part].astype(np.uint16) << 8 | predicted[part]
            counts += np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
        classes = self.num_classes
        for name, totals in (("labels", counts.sum(axis=1)), ("predictions", counts.sum(axis=0))):
            outside = np.flatnonzero(totals[classes:IGNORE])
            if outside.size:
                raise InputError(
                    f"{name} hold index {classes + int(outside[-1])}, but the classes are 0..{classes - 1}",
                    "Use 255 for 'no label'",
                )
        self.matrix += counts[:classes, :classes]
        self.unlabelled += counts[:classes, IGNORE]

    def pixels(self) -> NDArray[np.int64]:
        """(C,) labelled pixels of each true class."""
        return np.asarray(self.matrix.sum(axis=1) + self.unlabelled)

    def iou(self) -> NDArray[np.float64]:
        """(C,) intersection over union of each class."""
        hits = np.diagonal(self.matrix)
        return _ratio(hits, self.pixels() + self.matrix.sum(axis=0) - hits)

    def miou(self) -> float:
        """Mean of :meth:`iou`; NaN when nothing was counted."""
        return _mean(self.iou())

    def pixel_accuracy(self) -> float:
        """Fraction of the labelled pixels that are right; NaN when there are none."""
        return float(_ratio(np.diagonal(self.matrix).sum(), self.pixels().sum()))

    def class_accuracy(self) -> NDArray[np.float64]:
        """(C,) fraction of each true class's pixels that are right (recall)."""
        return _ratio(np.diagonal(self.matrix), self.pixels())

    def mean_class_accuracy(self) -> float:
        """Mean of :meth:`class_accuracy`."""
        return _mean(self.class_accuracy())

    def dice(self) -> NDArray[np.float64]:
        """(C,) Dice coefficient, or F1, of each class."""
        return _ratio(2 * np.diagonal(self.matrix), self.pixels() + self.matrix.sum(axis=0))

    def mean_dice(self) -> float:
        """Mean of :meth:`dice`."""
        return _mean(self.dice())


def left_out(figures: NDArray[np.float64], names: Sequence[str]) -> str:
    """What the mean of figures by class leaves out, in words for beside it; empty where it leaves out nothing.

    Such as "over 9 of 11 classes; no pixel of fence, sign". Whoever prints a mean prints this with it.

    Args:
        figures: (C,) by class, NaN where undefined, such as :meth:`ConfusionMatrix.iou`.
        names: of the classes.
    """
    missing = [name for name, figure in zip(names, figures, strict=True) if np.isnan(figure)]
    if not missing:
        return ""
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return f"over {len(names) - len(missing)} of {len(names)} classes; no pixel of {', '.join(missing[:_NAMED])}{more}"


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.true_divide(part, whole)


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
