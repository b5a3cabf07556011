"""Which layers suffer most from INT8: each is quantized alone and its logits are compared with the float model's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeseg.data.dataset import read_image
from edgeseg.data.sampling import spread
from edgeseg.quantize.calibrate import NamedProgress, no_progress
from edgeseg.quantize.ptq import CalibratedModel, Layer
from edgeseg.quantize.trial import opened
from edgeseg.runtime.backend import Backend
from edgeseg.runtime.preprocess import inputs_of

MAX_IMAGES = 8
"""Enough: they have tens of thousands of logits each, and every layer runs over them."""


@dataclass(frozen=True)
class Sensitivity:
    """What quantizing one layer alone does.

    Attributes:
        layer: the one.
        sqnr_db: signal to quantization noise of the logits: 10 log10 of the variance of the float model's over the mean
            squared difference; infinite where nothing changes.
        labels_changed: fraction of the logits' pixels that get another label.
    """

    layer: Layer
    sqnr_db: float
    labels_changed: float


def sensitivities(
    calibrated: CalibratedModel,
    images: Sequence[Path],
    threads: int | None = None,
    progress: NamedProgress = no_progress,
    bit_depth: int | None = None,
    float_model: Backend | None = None,
) -> list[Sensitivity]:
    """All layers, the one that hurts most first.

    Logits need no labels and see what mIoU on a few images would not. Nothing is random: the same images give the same
    order.

    Args:
        calibrated: the model.
        images: files to compare logits on; of more than ``MAX_IMAGES``, as many at even distances.
        threads: CPU threads; None means all cores.
        progress: wraps the layers.
        bit_depth: of images with more than 8 bits, as :func:`edgeseg.data.pictures.read_image` takes it.
        float_model: the model itself where it is open; None has it opened here.

    Raises:
        ModelError: a layer cannot be quantized, or the model failed.
        DatasetError: an image cannot be read.
    """
    chosen = spread(images, MAX_IMAGES)
    pictures = (read_image(image, bit_depth=bit_depth) for image in chosen)
    inputs = [pixels for picture in pictures for pixels in inputs_of(picture, calibrated.spec, 1)]
    float_logits = _logits(float_model or calibrated.path, inputs, threads)
    signal = float(float_logits.var())
    found = []
    for layer in progress(calibrated.layers, "quantizing one layer at a time"):
        logits = _logits(calibrated.quantize([layer]), inputs, threads)
        noise = float(np.mean(np.square(logits - float_logits), dtype=np.float64))
        sqnr_db = 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else math.inf
        changed = float(np.mean(logits.argmax(axis=1) != float_logits.argmax(axis=1)))
        found.append(Sensitivity(layer, sqnr_db, changed))
    return sorted(found, key=lambda one: one.sqnr_db)


def _logits(
    model: onnx.ModelProto | Path | Backend, inputs: Sequence[NDArray[np.uint8]], threads: int | None
) -> NDArray[np.float32]:
    """(images, C, h, w) float32."""
    with opened(model, threads) as backend:
        return np.concatenate([np.asarray(backend.infer(images), dtype=np.float32) for images in inputs])
