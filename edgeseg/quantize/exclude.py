"""Leave the layers that hurt most in float until the rest can be borne."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import onnx

from edgeseg.data.dataset import Dataset, Sample
from edgeseg.errors import DatasetError, ModelError
from edgeseg.evaluation.evaluate import count
from edgeseg.quantize.calibrate import NamedProgress, no_progress
from edgeseg.quantize.ptq import CalibratedModel
from edgeseg.quantize.sensitivity import Sensitivity, sensitivities
from edgeseg.quantize.trial import opened
from edgeseg.runtime.backend import Backend
from edgeseg.segmenter import Segmenter


def exclude_worst(
    calibrated: CalibratedModel,
    dataset: Dataset,
    samples: Sequence[Sample],
    max_drop: float,
    threads: int | None = None,
    progress: NamedProgress = no_progress,
    float_model: Backend | None = None,
) -> list[Sensitivity]:
    """Leave out one layer after another, in the order of :func:`sensitivities`, until mIoU is near the float model's.

    Args:
        calibrated: the model.
        dataset: what the samples are of.
        samples: labelled images to choose on; not those the result is measured on.
        max_drop: how far mIoU on them may lie under the float model's, as a fraction of 1.
        threads: CPU threads; None means all cores.
        progress: wraps the images of each measurement.
        float_model: the model itself where it is open; None has it opened here.

    Returns:
        The layers to leave in float, the worst first; none where INT8 is good enough as it is.

    Raises:
        ModelError: no choice of layers is good enough, a layer cannot be quantized, or the model failed.
        DatasetError: an image or a label cannot be used, or no pixel is labelled.
    """

    def miou(model: onnx.ModelProto | Path | Backend, what: str) -> float:
        with opened(model, threads) as backend:
            return count(Segmenter(backend, threads), dataset, progress(samples, what)).miou()

    wanted = miou(float_model or calibrated.path, "measuring the float model") - max_drop
    if math.isnan(wanted):
        raise DatasetError(f"no pixel of {len(samples)} images of {dataset.path} is labelled", "Choose another split")
    if miou(calibrated.quantize(), "measuring INT8") >= wanted:
        return []
    images = [sample.image for sample in samples]
    ranking = sensitivities(calibrated, images, threads, progress, dataset.bit_depth, float_model)
    layers = list(calibrated.layers)
    for number, worst in enumerate(ranking[:-1], 1):
        layers.remove(worst.layer)
        if miou(calibrated.quantize(layers), f"measuring with {number} in float") >= wanted:
            return ranking[:number]
    raise ModelError(
        f"{calibrated.path} loses more than {100 * max_drop:g} points of mIoU with any of its layers in INT8",
        "Allow a larger max_drop, or calibrate in another way",
    )
