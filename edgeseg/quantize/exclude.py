"""Leave the layers that hurt most in float until the rest can be borne."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from edgeseg.artifact.onnx import load_model
from edgeseg.data.dataset import Dataset, Sample
from edgeseg.errors import DatasetError, ModelError
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.quantize.calibrate import NamedProgress, no_progress
from edgeseg.quantize.ptq import CalibratedModel
from edgeseg.quantize.sensitivity import Sensitivity, sensitivities
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.segmenter import Segmenter


def exclude_worst(
    calibrated: CalibratedModel,
    dataset: Dataset,
    samples: Sequence[Sample],
    max_drop: float,
    threads: int | None = None,
    progress: NamedProgress = no_progress,
) -> list[Sensitivity]:
    """Leave out one layer after another, in the order of :func:`sensitivities`, until mIoU is near the float model's.

    Args:
        calibrated: the model.
        dataset: what the samples are of.
        samples: labelled images to choose on; not those the result is measured on.
        max_drop: how far mIoU on them may lie under the float model's, as a fraction of 1.
        threads: CPU threads; None means all cores.
        progress: wraps the images of each measurement.

    Returns:
        The layers to leave in float, the worst first; none where INT8 is good enough as it is.

    Raises:
        ModelError: no choice of layers is good enough, a layer cannot be quantized, or the model failed.
        DatasetError: an image or a label cannot be used, or no pixel is labelled.
    """

    def miou(model: onnx.ModelProto, what: str) -> float:
        confusion = ConfusionMatrix(dataset.num_classes)
        with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
            path = Path(folder, "model.onnx")
            onnx.save(model, path)
            with Segmenter(OrtBackend(path, threads=threads), threads) as segmenter:
                for sample in progress(samples, what):
                    image, labels = dataset.read(sample)
                    confusion.update(labels, segmenter(image).labels)
        return confusion.miou()

    wanted = miou(load_model(calibrated.path), "measuring the float model") - max_drop
    if math.isnan(wanted):
        raise DatasetError(f"no pixel of {len(samples)} images of {dataset.path} is labelled", "Choose another split")
    if miou(calibrated.quantize(), "measuring INT8") >= wanted:
        return []
    ranking = sensitivities(calibrated, [sample.image for sample in samples], threads, progress, dataset.bit_depth)
    layers = list(calibrated.layers)
    for number, worst in enumerate(ranking[:-1], 1):
        layers.remove(worst.layer)
        if miou(calibrated.quantize(layers), f"measuring with {number} in float") >= wanted:
            return ranking[:number]
    raise ModelError(
        f"{calibrated.path} loses more than {100 * max_drop:g} points of mIoU with any of its layers in INT8",
        "Allow a larger max_drop, or calibrate in another way",
    )
