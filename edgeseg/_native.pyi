"""The kernels of edgeseg in C++; what they do is told by their docstrings (kernels/python/)."""

import numpy as np
from numpy.typing import NDArray

def upsample_argmax(
    logits: NDArray[np.float32],
    height: int,
    width: int,
    threads: int = 0,
    out: NDArray[np.uint8] | None = None,
    rows: tuple[int, int, int] | None = None,
    columns: tuple[int, int, int] | None = None,
) -> NDArray[np.uint8]: ...
def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    colors: NDArray[np.uint8],
    opacity: float,
    threads: int = 0,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]: ...
def jpeg_damage(data: bytes) -> str | None: ...
def available_cores() -> int: ...
def has_int8_dot_product() -> bool: ...
def build_info() -> dict[str, str]: ...

class DenseCrf:
    def __init__(
        self,
        height: int,
        width: int,
        classes: int,
        bilateral: NDArray[np.float32],
        spatial: NDArray[np.float32],
        compatibility: NDArray[np.float32] | None,
        iterations: int,
        accurate: bool,
        threads: int = 0,
    ) -> None: ...
    def run(
        self,
        probabilities: NDArray[np.float32],
        image: NDArray[np.uint8],
        labels: NDArray[np.uint8] | None = None,
        marginals: NDArray[np.float32] | None = None,
    ) -> None: ...

class BilateralFilter:
    def __init__(
        self, height: int, width: int, channels: int, term: NDArray[np.float32], accurate: bool, threads: int = 0
    ) -> None: ...
    def build(self, image: NDArray[np.uint8]) -> None: ...
    def apply(self, values: NDArray[np.float32], out: NDArray[np.float32], transposed: bool = False) -> None: ...

def dense_crf_isa() -> str: ...
