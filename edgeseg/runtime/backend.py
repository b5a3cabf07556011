"""The Backend protocol: what edgeseg needs of an inference engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.spec import ModelSpec


class Backend(Protocol):
    """One loaded model on one inference engine.

    Attributes:
        spec: what the model takes and returns.
        max_batch: the most images that ``infer`` takes at a time, fewer being as welcome; None for any number.
    """

    spec: ModelSpec
    max_batch: int | None

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Run the network.

        Args:
            images: (N, H, W, 3) uint8 RGB, with (H, W) equal to ``spec.input_size``.

        Returns:
            (N, C, h, w) float32 logits, h = ceil(H / stride), where ``spec.output`` is ``logits``; (N, H, W) uint8
            labels where it is ``labels``. The array belongs to the caller: a later call does not overwrite it.

        Raises:
            InputError: images of another shape or dtype.
            ModelError: the engine failed.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds. Calling it twice is harmless; infer after it raises ModelError."""
        ...


def check_images(images: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Raise InputError unless ``images`` is (N, H, W, 3) uint8 with N >= 1 and (H, W) equal to ``size``."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (*size, 3) or not len(images):
        raise InputError(
            f"images have shape {images.shape} and dtype {images.dtype}",
            f"Pass (N, {size[0]}, {size[1]}, 3) uint8 RGB; edgeseg.runtime.preprocess.to_input does so",
        )
