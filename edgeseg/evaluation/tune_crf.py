"""Fit the dense CRF's parameters to a model: the setting with the best mIoU on labelled images.

The search is seeded and works on logarithmic scales: for a third of the trials a Latin hypercube looks everywhere, then
ever smaller random steps start from the best so far. Six parameters and a score without noise need no library for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeseg import weights
from edgeseg.data.dataset import Dataset
from edgeseg.data.sampling import spread
from edgeseg.errors import DatasetError, InputError, SinkError
from edgeseg.evaluation.evaluate import check_same_classes, dataset_of
from edgeseg.evaluation.metrics import ConfusionMatrix, left_out
from edgeseg.files.whole import keep_apart
from edgeseg.refine.base import Refiner, check_refinable
from edgeseg.refine.crf import CrfRefiner
from edgeseg.runtime.backend import Backend
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import CrfParams
from edgeseg.spec.placement import Box
from edgeseg.types import ImageU8, Inference, LabelsU8

RANGES = {
    "bilateral_sigma_xy_px": (5.0, 160.0),
    "bilateral_sigma_rgb": (2.0, 40.0),
    "bilateral_weight": (0.1, 30.0),
    "spatial_sigma_px": (0.5, 12.0),
    "spatial_weight": (0.1, 30.0),
    "iterations": (1.0, 10.0),
}
"""The parameters that are fitted, and between which values."""

_FIRST_STEP, _LAST_STEP = 0.2, 0.03
"""Of the random steps: standard deviations, as fractions of a range on its logarithmic scale."""

T = TypeVar("T")
OnTrial = Callable[[int, float], None]


@dataclass(frozen=True)
class Trial:
    """A setting of the CRF and its score.

    Attributes:
        params: sigmas, weights, iterations.
        miou: mean intersection over union, 0..1.
    """

    params: CrfParams
    miou: float


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes:
        alone_miou: of the network without a CRF, 0..1.
        trials: the CRF's defaults, then all others in their order.
        images: how many each was scored on.
        left_out: what the mean of the network alone leaves out, in words; empty where it is over all classes.
    """

    alone_miou: float
    trials: tuple[Trial, ...]
    images: int
    left_out: str = ""

    @property
    def best(self) -> Trial:
        """The best of the trials, be it better than the network alone or not."""
        return best_of(self.trials)

    @property
    def helps(self) -> bool:
        """Whether it is better."""
        return self.best.miou > self.alone_miou


def tune_model(
    model: str | Path,
    data: Dataset | str | Path,
    output: str | Path,
    split: str = "train",
    *,
    trials: int = 40,
    seed: int = 0,
    max_images: int = 60,
    backend: str | None = None,
    threads: int | None = None,
    force: bool = False,
    on_trial: OnTrial = lambda number, miou: None,
    on_tuned: Callable[[Tuning], None] = lambda tuning: None,
) -> Tuning:
    """Fit the CRF to a model and write a copy of it with the parameters, as ``edgeseg tune-crf`` does.

    Nothing is written where the network alone is better (:attr:`Tuning.helps`).

    Args:
        model: a shipped model's name, or a .onnx or .pt file.
        data: of the model's classes; or its dataset.yaml, or the folder that holds one.
        output: the file to write; it may be the model itself.
        backend: see :func:`edgeseg.runtime.registry.open_backend`.
        force: write the best setting even if it does not help.
        on_tuned: told what was found before it is written, which may fail.
        split, trials, seed, max_images, threads, on_trial: see :func:`tune_crf`.

    Raises:
        InputError: the output is of another kind, or a file would be written over.
        SinkError: the output cannot be written.
        ModelError, SpecError, MissingDependencyError, DatasetError: as ``open_backend`` and :func:`tune_crf`.
    """
    artifact, output = weights.find(model), Path(output)
    write = _writer(artifact, output)
    dataset = dataset_of(data)
    keep_apart([output], dataset.files(split))
    with closing(open_backend(artifact, backend=backend, threads=threads)) as engine:
        tuning = tune_crf(
            engine,
            dataset,
            split,
            trials=trials,
            seed=seed,
            max_images=max_images,
            threads=threads,
            on_trial=on_trial,
        )
    on_tuned(tuning)
    if tuning.helps or force:
        write(artifact, replace(engine.spec, crf=tuning.best.params), output)
    return tuning


def _writer(artifact: Path, output: Path) -> Callable[[Path, ModelSpec, Path], None]:
    """What writes an artifact with another spec; all that could hinder it is told now, before the search."""
    if output.suffix.lower() != artifact.suffix.lower():
        raise InputError(f"{output} does not end in {artifact.suffix}, as {artifact} does", "Correct output")
    if not output.parent.is_dir():
        raise SinkError(f"there is no folder {output.parent}", "Make it, or correct output")
    if artifact.suffix.lower() == ".pt":
        from edgeseg.models.checkpoint import rewrite_spec as rewrite_checkpoint

        return rewrite_checkpoint
    import onnx  # noqa: F401 - where it is missing, that is told now

    from edgeseg.artifact.onnx import rewrite_spec

    return rewrite_spec


def tune_crf(
    backend: Backend,
    dataset: Dataset,
    split: str = "train",
    *,
    trials: int = 40,
    seed: int = 0,
    max_images: int = 60,
    threads: int | None = None,
    on_trial: OnTrial = lambda number, miou: None,
) -> Tuning:
    """Find the CRF's parameters that suit a model best, at its input size.

    The network runs once over the images. Its logits are kept in half precision, two bytes for each class and logit.
    Of an image that it sees in tiles, one somewhere in it is taken.

    Args:
        backend: the model.
        dataset: of the model's classes.
        split: the split to fit to. Figures on its images flatter; measure on another one.
        trials: settings of the CRF to try, the defaults among them.
        seed: of the choice of images and of the search.
        max_images: the most to use, spread evenly over the split.
        threads: CPU threads; None means all cores.
        on_trial: told each trial's number and mIoU; number 0 is the network alone, 1 the defaults.

    Raises:
        InputError: fewer than one trial or image.
        ModelError: the model's classes are not the dataset's, it returns labels, or it failed.
        DatasetError: the split, an image or a label cannot be used, or no pixel is labelled.
    """
    for name, value in (("trials", trials), ("max_images", max_images)):
        if value < 1:
            raise InputError(f"{name} is {value}", "Use 1 or more")
    check_refinable(backend.spec)
    check_same_classes(backend.spec.class_names, dataset)
    samples = spread(dataset.split(split).samples(), max_images, seed)
    rng = np.random.default_rng(seed)
    segmenter = Segmenter(backend, threads)
    views = [_View.of(segmenter, *_one_tile(*dataset.read(sample), segmenter.spec, rng)) for sample in samples]

    def measure(refiner: Refiner | None) -> ConfusionMatrix:
        refined = Segmenter(backend, threads, refiner)
        return ConfusionMatrix.of(
            dataset.num_classes, ((view.truth, refined.finish(view.seen()).labels) for view in views)
        )

    alone = measure(None)
    alone_miou = alone.miou()
    if math.isnan(alone_miou):
        raise DatasetError(
            f"no pixel of {len(views)} images in split {split} of {dataset.path} is labelled", "Choose another split"
        )
    on_trial(0, alone_miou)
    done = search(lambda params: measure(CrfRefiner(params, threads=threads or 0)).miou(), trials, seed, on_trial)
    return Tuning(alone_miou, tuple(done), len(views), left_out(alone.iou(), dataset.names))


def search(
    score: Callable[[CrfParams], float], trials: int, seed: int, on_trial: OnTrial = lambda number, miou: None
) -> list[Trial]:
    """Look for the parameters of the highest score, the defaults first.

    The same seed and scores give the same trials.
    """
    rng = np.random.default_rng(seed)
    everywhere = _latin_hypercube((trials - 1) // 3, rng)
    steps = np.geomspace(_FIRST_STEP, _LAST_STEP, trials - 1 - len(everywhere))
    done: list[Trial] = []

    def run(params: CrfParams) -> None:
        done.append(Trial(params, score(params)))
        on_trial(len(done), done[-1].miou)

    run(CrfParams())
    for point in everywhere:
        run(_params_at(point))
    for step in steps:
        run(_params_at(_point_of(best_of(done).params) + step * rng.standard_normal(len(RANGES))))
    return done


def best_of(trials: Sequence[Trial]) -> Trial:
    """The one of the highest mIoU; the first of several."""
    return max(trials, key=lambda trial: trial.miou)


@dataclass(frozen=True, eq=False)
class _View:
    """An image as the CRF gets it, with its truth.

    Attributes:
        inference: what the network said of it, without the logits.
        logits_f16: (1, C, h, w) float16, the largest of each pixel 0.
        truth: labels at the label file's own size.
    """

    inference: Inference
    logits_f16: NDArray[np.float16]
    truth: LabelsU8

    @classmethod
    def of(cls, segmenter: Segmenter, image: ImageU8, truth: LabelsU8) -> _View:
        (inference,) = segmenter.infer([image])
        logits = inference.output
        # Differences between the classes are all that counts, before interpolation and after it, and half precision is
        # finest near zero: where classes are close.
        shifted = logits - logits.max(axis=1, keepdims=True)
        return cls(replace(inference, output=_NONE), shifted.astype(np.float16), truth)

    def seen(self) -> Inference:
        """What the network said."""
        return replace(self.inference, output=self.logits_f16.astype(np.float32))


_NONE = np.zeros(0, dtype=np.float32)


def _one_tile(image: ImageU8, labels: LabelsU8, spec: ModelSpec, rng: np.random.Generator) -> tuple[ImageU8, LabelsU8]:
    """The part of an image that a network sees as a tile, somewhere in it; all of it where the network sees all."""
    if spec.fit != "tile":
        return image, labels
    height, width = (
        min(side, max(int(own / spec.tile_scale), 1)) for side, own in zip(labels.shape, spec.input_size, strict=True)
    )
    top, left = (int(rng.integers(side - own + 1)) for side, own in zip(labels.shape, (height, width), strict=True))
    part = Box(top, left, top + height, left + width).slices
    return np.ascontiguousarray(image[part]), np.ascontiguousarray(labels[part])


def _latin_hypercube(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, parameters) points of 0..1: each ``count``-th part of each axis holds one of them."""
    axes = [(rng.permutation(count) + rng.random(count)) / count for _ in RANGES]
    return np.stack(axes, axis=1)


def _params_at(point: NDArray[np.float64]) -> CrfParams:
    """The parameters at a point of 0..1 on each range's logarithmic scale, to three digits."""
    values: dict[str, Any] = {
        name: float(f"{low * (high / low) ** position:.3g}")
        for (name, (low, high)), position in zip(RANGES.items(), np.clip(point, 0, 1), strict=True)
    }
    return CrfParams(**{**values, "iterations": round(values["iterations"])})


def _point_of(params: CrfParams) -> NDArray[np.float64]:
    """The inverse of :func:`_params_at`."""
    return np.array([math.log(getattr(params, name) / low, high / low) for name, (low, high) in RANGES.items()])
