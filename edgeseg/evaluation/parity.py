"""Do two artifacts say the same, and which is faster? Any backends, the same frames through both."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg import weights
from edgeseg.data.dataset import Dataset
from edgeseg.data.sampling import spread
from edgeseg.errors import InputError
from edgeseg.evaluation.evaluate import Progress, check_same_classes, dataset_of
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.runtime.backend import Backend
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.types import ImageU8, LabelsU8

LogitsOrLabels = NDArray[np.float32] | NDArray[np.uint8]


@dataclass(frozen=True)
class Parity:
    """How far two artifacts differ; pairs are (reference, candidate).

    Attributes:
        images: how many images were compared.
        max_abs_logit_difference: largest difference of two logits; NaN where either returns labels, or logits of
            another shape.
        mean_abs_logit_difference: mean difference; NaN likewise.
        max_abs_logit: largest logit of the reference, to judge the difference by; NaN likewise.
        label_agreement: fraction of pixels with the same label, at the images' own size.
        miou: 0..1 on those images whose truth was given; NaN without any.
        confusion: what that was made of.
        infer_ms: median milliseconds of the engine alone.
        frame_ms: median milliseconds from image to labels at the image's own size.
        specs: what the two say of themselves.
    """

    images: int
    max_abs_logit_difference: float
    mean_abs_logit_difference: float
    max_abs_logit: float
    label_agreement: float
    miou: tuple[float, float]
    confusion: tuple[ConfusionMatrix, ConfusionMatrix]
    infer_ms: tuple[float, float]
    frame_ms: tuple[float, float]
    specs: tuple[ModelSpec, ModelSpec]

    def holds(self) -> bool:
        """Whether the difference is that of float32 arithmetic done in another order.

        The largest difference alone cannot tell: where two values tie, an argmax or a max-pooling position may flip and
        change a few pixels much. So the mean is judged, and one label in a thousand may flip.
        """
        close = not self.mean_abs_logit_difference > 1e-4 * max(1.0, self.max_abs_logit)
        return close and self.label_agreement >= 0.999


def compare_models(
    a: str | Path,
    b: str | Path,
    data: Dataset | str | Path,
    split: str = "val",
    *,
    max_images: int | None = None,
    backend_a: str | None = None,
    backend_b: str | None = None,
    threads: int | None = None,
    trust_engine: bool = False,
    progress: Progress = iter,
) -> Parity:
    """Open two models and run them over a split, as ``edgeseg compare`` does.

    Args:
        a: the reference: a shipped model's name, or a file.
        b: the other, of the same classes.
        data: of the models' classes; or its dataset.yaml, or the folder that holds one.
        split: the split to run both on.
        max_images: the most to use, spread evenly over the split; None for all.
        backend_a, backend_b, threads, trust_engine: see :func:`edgeseg.runtime.registry.open_backend`.
        progress: wraps the samples.

    Raises:
        ModelError: there is no such model, it cannot be opened, its classes are not the dataset's, or it failed.
        DatasetError: the split, an image or a label cannot be used.
        InputError, SpecError, MissingDependencyError: as ``open_backend``.
    """
    dataset = dataset_of(data)
    samples = dataset.split(split).samples()
    chosen = spread(samples, max_images or len(samples), seed=0)
    with ExitStack() as opened:

        def opened_for(model: str | Path, backend: str | None) -> Backend:
            engine = open_backend(weights.find(model), backend=backend, threads=threads, trust_engine=trust_engine)
            opened.callback(engine.close)
            check_same_classes(engine.spec.class_names, dataset)
            return engine

        reference, candidate = opened_for(a, backend_a), opened_for(b, backend_b)
        return compare(reference, candidate, (dataset.read(sample) for sample in progress(chosen)), threads or 0)


def compare(
    reference: Backend, candidate: Backend, frames: Iterable[tuple[ImageU8, LabelsU8 | None]], threads: int = 0
) -> Parity:
    """Run the same frames through both, one after the other on each, so that their times compare.

    Args:
        reference: one artifact.
        candidate: another of the same classes.
        frames: images of any size, each with its true labels or None.
        threads: CPU threads for the upsampling of logits; 0 means all cores. Engines have theirs already.

    Raises:
        InputError: no frames, or backends of different classes.
        ModelError: one of them failed.
    """
    if reference.spec.class_names != candidate.spec.class_names:
        raise InputError("the two artifacts differ in their classes", "Compare artifacts for the same data")
    first, second = (_Side(backend, threads) for backend in (reference, candidate))
    count, agreeing = 0, 0.0
    largest_difference = mean_difference = largest = 0.0
    for image, truth in frames:
        if not count:
            first.warm_up(image)
            second.warm_up(image)
        # Each is the first every other time: who comes second finds the image in the cache.
        outputs = {}
        for side in (first, second) if count % 2 == 0 else (second, first):
            outputs[side] = side.run(image, truth)
        (expected, expected_labels), (got, got_labels) = outputs[first], outputs[second]
        agreeing += float(np.mean(expected_labels == got_labels))
        if expected.dtype == got.dtype == np.float32 and expected.shape == got.shape:
            difference = np.nan_to_num(np.abs(expected - got), nan=np.inf, posinf=np.inf)  # NaN compares as close
            largest_difference = max(largest_difference, float(difference.max()))
            mean_difference += float(difference.mean())
            largest = max(largest, float(np.abs(expected).max()))
        else:
            largest_difference = mean_difference = largest = float("nan")
        count += 1
    if not count:
        raise InputError("there are no images to compare the artifacts on", "Pass at least one")
    return Parity(
        count,
        largest_difference,
        mean_difference / count,
        largest,
        agreeing / count,
        miou=(first.confusion.miou(), second.confusion.miou()),
        confusion=(first.confusion, second.confusion),
        infer_ms=(float(np.median(first.infer_ms)), float(np.median(second.infer_ms))),
        frame_ms=(float(np.median(first.frame_ms)), float(np.median(second.frame_ms))),
        specs=(reference.spec, candidate.spec),
    )


@dataclass(eq=False)
class _Side:
    """One of the two artifacts, with what was measured of it."""

    backend: Backend
    threads: int
    infer_ms: list[float] = field(default_factory=list)
    frame_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = ConfusionMatrix(self.backend.spec.num_classes)
        self.segmenter = Segmenter(self.backend, self.threads)

    def warm_up(self, image: ImageU8) -> None:
        """Let the engine allocate what it needs before its time counts."""
        self.segmenter.infer([image])

    def run(self, image: ImageU8, truth: LabelsU8 | None) -> tuple[LogitsOrLabels, LabelsU8]:
        """What the engine returns, and labels at the image's size."""
        start_s = time.perf_counter()
        (inference,) = self.segmenter.infer([image])
        labels = self.segmenter.finish(inference).labels
        self.infer_ms.append(inference.latency_ms["infer"])
        self.frame_ms.append((time.perf_counter() - start_s) * 1000)
        if truth is not None:
            self.confusion.update(truth, labels)
        return inference.output, labels


def probe_images(size: tuple[int, int], seed: int = 0) -> list[ImageU8]:
    """Images that reach many parts of a network without any data: smooth colours, noise, and both dark and bright."""
    rng = np.random.default_rng(seed)
    height, width = size
    ramp_y, ramp_x = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    waves: list[NDArray[np.float64]] = [
        0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(1, 6) * ramp_y + rng.uniform(1, 6) * ramp_x + rng.uniform()))
        for _ in range(3)
    ]
    noise = rng.uniform(0, 255, (height, width, 3))
    smooth = 0.9 * 255 * np.stack(waves, axis=2) + 0.1 * noise
    return [image.astype(np.uint8) for image in (smooth, noise, 0.2 * smooth, 155 + 0.4 * noise)]
