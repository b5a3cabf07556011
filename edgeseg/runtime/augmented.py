"""The image pyramid: a backend that answers with the mean over a picture at several sizes, and mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.runtime.backend import Backend, check_images
from edgeseg.spec import ModelSpec

MULTIPLE = 32
"""Heights and widths of the other sizes are multiples of this, as every network takes."""

_SMALLEST, _LARGEST = 0.25, 4.0


class AnySize(Protocol):
    """A backend that also takes pictures of other sizes than the model's, as PyTorch does."""

    def infer_any(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As :meth:`edgeseg.runtime.backend.Backend.infer`, of (N, H, W, 3) of any size."""
        ...


class AugmentedBackend:
    """A backend that runs another one several times and returns the logarithm of the mean probabilities.

    Accuracy is what it is for; it takes as much longer as it runs more pixels.

    Args:
        inner: a backend that returns logits. With sizes beside the model's own it is one that takes any.
        scales: sizes, as factors of the model's input size.
        flip: run each size also mirrored left to right.

    Raises:
        InputError: a scale outside 0.25 to 4, or a backend that cannot do this.
    """

    def __init__(self, inner: Backend, scales: Sequence[float] = (1.0,), *, flip: bool = False) -> None:
        if not scales or not all(_SMALLEST <= scale <= _LARGEST for scale in scales):
            told = ", ".join(f"{scale:g}" for scale in scales)
            raise InputError(f"scales are {told or 'none'}", f"Give numbers of {_SMALLEST} to {_LARGEST:g}")
        if inner.spec.output != "logits":
            raise InputError("scales and flip need a model that returns logits", "Export it with --head logits")
        if any(scale != 1 for scale in scales) and not hasattr(inner, "infer_any"):
            raise InputError(
                "this engine takes pictures of one size", "Leave out scales, or pass the checkpoint (.pt) instead"
            )
        self.spec: ModelSpec = inner.spec
        self.max_batch = inner.max_batch
        self._inner = inner
        self._scales = tuple(scales)
        self._flip = flip

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, C, h, w) float32 logarithms of probabilities; see :meth:`edgeseg.runtime.backend.Backend.infer`."""
        check_images(images, self.spec.input_size)
        height, width = (-(-pixels // self.spec.stride) for pixels in self.spec.input_size)
        views = [self._view(images, scale) for scale in self._scales]
        views += [view[:, :, ::-1] for view in views] if self._flip else []
        total = np.zeros((len(images), self.spec.num_classes, height, width), np.float32)
        for index, view in enumerate(views):
            logits = self._run(np.ascontiguousarray(view))
            if index >= len(self._scales):
                logits = logits[..., ::-1]
            total += _probabilities(_resized(logits, (height, width)))
        return np.asarray(np.log(np.maximum(total / len(views), np.finfo(np.float32).tiny)), np.float32)

    def close(self) -> None:
        """Free what the other backend holds."""
        self._inner.close()

    def _view(self, images: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
        if scale == 1:
            return images
        height, width = (MULTIPLE * max(1, int(pixels * scale / MULTIPLE + 0.5)) for pixels in self.spec.input_size)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        return np.stack([cv2.resize(image, (width, height), interpolation=interpolation) for image in images])

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if images.shape[1:3] == self.spec.input_size:
            return cast(NDArray[np.float32], self._inner.infer(images))
        return cast(AnySize, self._inner).infer_any(images)


def _resized(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(N, C, h, w) bilinearly at (height, width), pixel centres aligned."""
    if logits.shape[2:] == size:
        return logits
    height, width = size
    planes = [
        [cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_LINEAR) for plane in one]
        for one in logits
    ]
    return np.asarray(planes, np.float32)


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
