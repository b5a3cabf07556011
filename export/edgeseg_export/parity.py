"""Do two artifacts of one network say the same? Any backends, the same frames through both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.postprocess import to_labels
from edgeseg.preprocess import to_input
from edgeseg.runtime.backend import Backend
from edgeseg.types import ImageU8


@dataclass(frozen=True)
class Parity:
    """How far two artifacts differ.

    Attributes:
        images: how many images were compared.
        max_abs_logit_difference: largest difference of two logits; NaN where either returns labels.
        mean_abs_logit_difference: mean difference; NaN likewise.
        max_abs_logit: largest logit of the reference, to judge the difference by; NaN likewise.
        label_agreement: fraction of pixels with the same label.
    """

    images: int
    max_abs_logit_difference: float
    mean_abs_logit_difference: float
    max_abs_logit: float
    label_agreement: float

    def holds(self) -> bool:
        """Whether the difference is that of float32 arithmetic done in another order.

        The largest difference alone cannot tell: where two values tie, an argmax or a max-pooling position may flip and
        change a few pixels much. So the mean is judged, and one label in a thousand may flip.
        """
        close = not self.mean_abs_logit_difference > 1e-4 * max(1.0, self.max_abs_logit)
        return close and self.label_agreement >= 0.999


def compare(reference: Backend, candidate: Backend, images: Iterable[ImageU8]) -> Parity:
    """Run the same images through both.

    Raises:
        InputError: no images, or backends of different input size or classes.
        ModelError: one of them failed.
    """
    if reference.spec.input_size != candidate.spec.input_size or (
        reference.spec.class_names != candidate.spec.class_names
    ):
        raise InputError("the two artifacts differ in input size or classes", "Compare artifacts of one network")
    size = reference.spec.input_size
    both_logits = reference.spec.output == candidate.spec.output == "logits"
    count, agreeing = 0, 0.0
    largest_difference = mean_difference = largest = 0.0 if both_logits else float("nan")
    for image in images:
        inputs = to_input(image, size)
        expected, got = reference.infer(inputs), candidate.infer(inputs)
        if both_logits:
            difference = np.nan_to_num(np.abs(expected - got), nan=np.inf, posinf=np.inf)  # NaN compares as close
            largest_difference = max(largest_difference, float(difference.max()))
            mean_difference += float(difference.mean())
            largest = max(largest, float(np.abs(expected).max()))
        agreeing += float(np.mean(to_labels(expected, size) == to_labels(got, size)))
        count += 1
    if not count:
        raise InputError("there are no images to compare the artifacts on", "Pass at least one")
    return Parity(count, largest_difference, mean_difference / count, largest, agreeing / count)


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
