"""Refiners: between the network and the argmax, labels learn from the picture where its edges are."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ModelError
from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import Box
from edgeseg.types import ImageU8

_MOST_PROBABILITIES = 1 << 29
"""Of one picture: 2 GiB as floats. The shipped models have 2 million."""


class Refiner(Protocol):
    """Makes better scores of what the network says and what the picture shows."""

    def __call__(self, probabilities: NDArray[np.float32], image: ImageU8) -> NDArray[np.float32]:
        """Refine one image.

        Args:
            probabilities: (C, H, W) float32 that sum to one over C.
            image: (H, W, 3) uint8 RGB, at the scale of the model's input as they are: all of it, or the part that holds
                a picture.

        Returns:
            (C, H, W) float32 scores: the class with the largest is a pixel's label.
        """
        ...


def check_refinable(spec: ModelSpec) -> None:
    """Raise ModelError unless the model returns logits, which refinement starts from, of a size that it can be for."""
    if spec.output != "logits":
        raise ModelError(
            "the model returns labels, and refinement needs logits",
            "Export it with logits: edgeseg export CHECKPOINT.pt --head logits",
        )
    if spec.num_classes < 2:
        raise ModelError("the model has one class, and refinement weighs classes against each other", "Run it without")
    if spec.num_classes * spec.input_size[0] * spec.input_size[1] > _MOST_PROBABILITIES:
        height, width = spec.input_size
        what = f"{spec.num_classes} classes at {width}x{height} are too much to refine"
        raise ModelError(what, "Export the model with a smaller input size")


def probabilities_of(
    logits: NDArray[np.float32], size: tuple[int, int], part: Box | None = None
) -> NDArray[np.float32]:
    """The probabilities of each pixel: logits upsampled bilinearly (half-pixel centres), then softmax.

    Args:
        logits: (1, C, h, w) float32, as a backend returns them.
        size: (height, width) in pixels.
        part: of that, which alone is returned; None for all of it.

    Returns:
        (C, height, width) float32, of the part, that sum to one over C.
    """
    height, width = size
    part = part or Box.whole(size)
    scores = np.empty((logits.shape[1], *part.size), dtype=np.float32)
    # One class at a time: OpenCV limits the channels of an array.
    for score, plane in zip(scores, logits[0], strict=True):
        score[:] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)[part.slices]
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
