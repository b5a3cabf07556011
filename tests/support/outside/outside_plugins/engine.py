"""An engine that runs one model alone, by NumPy: the brightest channel is the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.runtime.backend import Backend, BackendInfo, DoctorLine, check_images
from edgeseg.spec import ModelSpec


class NumpyBackend:
    """Labels by ``argmax`` of the colours."""

    max_batch: int | None = None

    def __init__(self, path: Path) -> None:
        self.spec = ModelSpec.from_json(path.read_text(encoding="utf-8"), str(path))

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(N, H, W) labels."""
        check_images(images, self.spec.input_size)
        return images.argmax(axis=3).astype(np.uint8)

    def close(self) -> None:
        """Nothing is held."""


class _Numpy(BackendInfo):
    suffixes = frozenset({".brightest"})
    package = "numpy"
    install = "numpy"

    def open(self, path: Path, *, threads: int | None = None, trust_engine: bool = False) -> Backend:
        return NumpyBackend(path)

    def doctor(self) -> DoctorLine:
        return "numpy engine", np.__version__, True


NUMPY = _Numpy()
