"""The kernels of edgeseg in C++; what they do is told by their docstrings (kernels/python/)."""

import numpy as np
from numpy.typing import NDArray

def upsample_argmax(
    logits: NDArray[np.float32],
    height: int,
    width: int,
    threads: int = 0,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]: ...
def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    colors: NDArray[np.uint8],
    opacity: float,
    threads: int = 0,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]: ...
def build_info() -> dict[str, object]: ...
