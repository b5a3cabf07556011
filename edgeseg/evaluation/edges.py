"""How well a model finds edges: precision and recall of thin lines, with a tolerance, at each threshold.

The measure of Martin, Fowlkes, Malik ("Learning to detect natural image boundaries using local brightness, color, and
texture cues", PAMI 2004, doi:10.1109/TPAMI.2004.1273918) and of the BSDS500 benchmark (Arbelaez 2011,
doi:10.1109/TPAMI.2010.161): at a threshold of the probability, edges are thinned to lines of one pixel and matched one
to one with the thinned lines of the labels. A pixel matches one that is not farther off than the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, MissingDependencyError
from edgeseg.evaluation.evaluate import Progress, check_same_classes
from edgeseg.evaluation.predict import check_returns_logits
from edgeseg.installing import pip_install
from edgeseg.runtime.postprocess import placed_values
from edgeseg.segmenter import Segmenter
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

TOLERANCE = 0.0075
"""Of the picture's diagonal, as in BSDS500: 4.5 pixels at 480x360."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EdgeCounts:
    """Pixels of thin edges, by picture and threshold.

    Attributes:
        thresholds: (T,) of the probability of an edge.
        true: (N,) pixels of the labels' edges.
        said: (N, T) pixels of the model's edges.
        matched: (N, T) pairs of the one and the other.
    """

    thresholds: NDArray[np.float64]
    true: NDArray[np.int64]
    said: NDArray[np.int64]
    matched: NDArray[np.int64]

    def ods(self) -> tuple[float, float]:
        """The best F-measure with one threshold for all pictures, and that threshold; between those measured too."""
        recall, precision = self.recall(), self.precision()
        finer = np.linspace(self.thresholds[0], self.thresholds[-1], 100 * len(self.thresholds))
        f = f_measure(*(np.interp(finer, self.thresholds, values) for values in (precision, recall)))
        best = int(f.argmax())
        return float(f[best]), float(finer[best])

    def ois(self) -> float:
        """The F-measure with the best threshold for each picture."""
        each = f_measure(_share(self.matched, self.said), _share(self.matched, self.true[:, None]))
        best = np.arange(len(each)), each.argmax(axis=1)
        matched = self.matched[best].sum()
        return float(f_measure(_share(matched, self.said[best].sum()), _share(matched, self.true.sum())))

    def ap(self) -> float:
        """Average precision: the mean of the precision over all recalls, 0 where a recall is never reached."""
        recall, precision = self.recall(), self.precision()
        recall, first = np.unique(recall, return_index=True)
        at = np.arange(101) / 100
        return float(np.interp(at, recall, precision[first], left=0, right=0).sum() / 100)

    def recall(self) -> NDArray[np.float64]:
        """(T,) share of the labels' edges that are found, over all pictures."""
        return _share(self.matched.sum(axis=0), self.true.sum())

    def precision(self) -> NDArray[np.float64]:
        """(T,) share of the model's edges that are right, over all pictures."""
        return _share(self.matched.sum(axis=0), self.said.sum(axis=0))


@dataclass(frozen=True, eq=False)
class EdgeEvaluation:
    """What a measurement found.

    Attributes:
        counts: all figures come from them.
        images: how many images were measured.
        tolerance: of the picture's diagonal.
        origin: of the labels, in words.
    """

    counts: EdgeCounts
    images: int
    tolerance: float
    origin: str

    def to_dict(self) -> dict[str, Any]:
        """All figures as fractions of 1, ready for JSON."""
        f, threshold = self.counts.ods()
        return {
            "images": self.images,
            "labels_from": self.origin,
            "tolerance": self.tolerance,
            "ods": f,
            "threshold": threshold,
            "ois": self.counts.ois(),
            "ap": self.counts.ap(),
            "thresholds": self.counts.thresholds.tolist(),
            "precision": self.counts.precision().tolist(),
            "recall": self.counts.recall().tolist(),
        }


def evaluate_edges(
    segmenter: Segmenter,
    dataset: Dataset,
    split: str = "val",
    *,
    thresholds: int = 33,
    tolerance: float = TOLERANCE,
    progress: Progress = iter,
) -> EdgeEvaluation:
    """Measure a model whose second class are edges.

    Args:
        segmenter: a model that returns logits of two classes.
        dataset: of the same classes: ``format: edges``, or edges that somebody drew.
        split: of it.
        thresholds: how many, evenly over the probability; BSDS500 has 99, which take three times as long.
        tolerance: how far off an edge may be, of the picture's diagonal.
        progress: wraps the samples.

    Raises:
        InputError: an argument is out of range, or the segmenter refines what the network says.
        ModelError: the model has other classes, returns labels, or failed.
        DatasetError: it has other than two classes, or the split, an image or a label cannot be used.
        MissingDependencyError: SciPy is not installed.
    """
    if thresholds < 1 or not 0 < tolerance < 1:
        raise InputError(f"{thresholds} thresholds and a tolerance of {tolerance:g}", "Use 1 or more, and 0 to 1")
    if segmenter.is_refining:
        raise InputError("edges are measured as the network gives them", "Leave out refine")
    if dataset.num_classes != 2:
        remedy = f"Measure edges on a dataset.yaml with format: edges and data: {dataset.path}"
        raise DatasetError(f"{dataset.path} has {dataset.num_classes} classes, not edges and the rest", remedy)
    check_same_classes(segmenter.spec.class_names, dataset)
    check_returns_logits(segmenter.spec, "edges at several thresholds")
    samples = dataset.split(split).samples()
    read = (dataset.read(sample) for sample in progress(samples))
    counts = count_edges(
        ((labels, edge_probability(segmenter, image)) for image, labels in read), thresholds, tolerance
    )
    return EdgeEvaluation(counts, len(samples), tolerance, str(dataset.path))


def edge_probability(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) probability of the second of two classes, at the image's own size; 0 for what ``crop`` has cut off."""
    inference = segmenter.infer([image])[0]
    rest, edge = np.asarray(inference.output[0], dtype=np.float32)
    return placed_values(1 / (1 + np.exp(np.clip(rest - edge, -80, 80))), inference.placement)


def count_edges(
    pairs: Iterable[tuple[LabelsU8, NDArray[np.float32]]], thresholds: int = 33, tolerance: float = TOLERANCE
) -> EdgeCounts:
    """Match the edges of many pictures.

    Args:
        pairs: labels (H, W), 1 for an edge and 255 for what is not known, and probabilities (H, W) of an edge.
        thresholds: how many, evenly over the probability.
        tolerance: of the picture's diagonal.
    """
    levels = np.arange(1, thresholds + 1) / (thresholds + 1)
    true, said, matched = [], [], []
    for labels, probability in pairs:
        truth, known = thin(labels == 1), labels != IGNORE
        reach = tolerance * float(np.hypot(*labels.shape))
        lines = [thin(probability >= level) & known for level in levels]
        true.append(truth.sum())
        said.append([line.sum() for line in lines])
        matched.append([matches(line, truth, reach) for line in lines])
    return EdgeCounts(levels, *(np.array(counts, dtype=np.int64) for counts in (true, said, matched)))


def matches(one: Mask, other: Mask, reach: float) -> int:
    """The most pairs of a pixel of one and a pixel of the other, at most ``reach`` pixels apart, none in two pairs.

    Args:
        one, other: (H, W) bool.
        reach: in pixels.

    Raises:
        MissingDependencyError: SciPy is not installed.
    """
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching
    except ImportError as error:
        what = "edges are matched by SciPy, which is not installed"
        raise MissingDependencyError(what, f"Run: {pip_install('edgeseg[edges]')}") from error

    far = int(reach)
    number = np.full((other.shape[0] + 2 * far, other.shape[1] + 2 * far), -1, np.int32)
    number[far : far + other.shape[0], far : far + other.shape[1]][other] = np.arange(other.sum(), dtype=np.int32)
    y, x = np.nonzero(one)
    if not len(y) or not other.any():
        return 0
    down, across = np.mgrid[-far : far + 1, -far : far + 1].reshape(2, -1)
    near = np.hypot(down, across)
    order = np.argsort(near, kind="stable")[: int((near <= reach).sum())]  # the nearest first, which finds most at once
    partners = number[y[:, None] + far + down[order], x[:, None] + far + across[order]]
    is_pair = partners >= 0
    begins = np.concatenate([[0], np.cumsum(is_pair.sum(axis=1))]).astype(np.int32)
    pairs = partners[is_pair]
    graph = csr_array((np.ones(len(pairs), np.uint8), pairs, begins), shape=(len(y), int(other.sum())))
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


def thin(mask: Mask) -> Mask:
    """Lines of one pixel in the middle of what is set: what ``bwmorph(mask, "thin", Inf)`` makes of it in MATLAB.

    The second algorithm of Guo, Hall ("Parallel thinning with two-subiteration algorithms", CACM 1989,
    doi:10.1145/62065.62074), as Lam, Lee, Suen describe it (PAMI 1992, doi:10.1109/34.161346).
    """
    left = mask.astype(np.uint8)
    while True:
        before = int(left.sum())
        for removable in _REMOVABLE:
            around = cv2.filter2D(left, -1, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
            left[removable[around]] = 0
        if int(left.sum()) == before:
            return left.astype(bool)


_NEIGHBOURS = np.array([[8, 4, 2], [16, 0, 1], [32, 64, 128]], np.float32)
"""The bit of each neighbour: x1 is in the east, and on they go against the clock."""


def _removable(second: bool) -> NDArray[np.bool_]:
    """(256,) by which neighbours are set, whether a set pixel is removed in the first or second pass."""
    x = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(bool).T
    x1, x2, x3, x4, x5, x6, x7, x8 = x
    lines = sum((~a & (b | c)).astype(int) for a, b, c in ((x1, x2, x3), (x3, x4, x5), (x5, x6, x7), (x7, x8, x1)))
    n1 = sum((a | b).astype(int) for a, b in ((x1, x2), (x3, x4), (x5, x6), (x7, x8)))
    n2 = sum((a | b).astype(int) for a, b in ((x2, x3), (x4, x5), (x6, x7), (x8, x1)))
    least = np.minimum(n1, n2)
    side = (x6 | x7 | ~x4) & x5 if second else (x2 | x3 | ~x8) & x1
    removed: NDArray[np.bool_] = (lines == 1) & (least >= 2) & (least <= 3) & ~side
    return removed


_REMOVABLE = (_removable(second=False), _removable(second=True))


def f_measure(precision: Any, recall: Any) -> NDArray[np.float64]:
    """The harmonic mean of precision and recall; 0 where both are."""
    total = np.asarray(precision) + recall
    return np.asarray(2 * np.asarray(precision) * recall / np.where(total == 0, 1, total))


def _share(part: Any, whole: Any) -> NDArray[np.float64]:
    """Part of whole, 0 where there is nothing."""
    return np.asarray(np.asarray(part) / np.maximum(whole, 1), dtype=np.float64)
