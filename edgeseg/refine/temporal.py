"""Temporal smoothing: labels that hold still where the scene does, and follow it where it moves.

What the network said of the frame before is brought to where things are now by optical flow, and mixed into what it
says of this frame, less where the picture shows that the flow is wrong: at edges that uncover something new, after a
cut. The recursion is an exponential moving average along the paths of motion:

    s_t(x) = a r(x) s_{t-1}(x + u(x)) + (1 - a r(x)) p_t(x),   r(x) = exp(-(I_t(x) - I_{t-1}(x + u(x)))^2 / sigma^2)

with a = exp(-dt / memory) for frames that lie dt apart, so that the past fades alike at any frame rate, p the network's
probabilities, u the flow from this frame back to the one before (DIS: Kroeger, Timofte, Dai, Van
Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv:1603.03590) and I the brightness. All of it is
done at the size of the logits; the flow is taken from the picture at half size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.types import ImageU8

_LEAST_PROBABILITY = 1e-6
_LONGEST_GAP_S = 1.0
"""A scene that was not seen for so long is begun anew."""


@dataclass
class _Past:
    """What is kept of a stream's last frame: probabilities (C, h, w), brightness, and when it was taken."""

    probabilities: NDArray[np.float32]
    grey_u8: NDArray[np.uint8]
    time_s: float


class TemporalSmoother:
    """Smooths the logits of successive frames; each stream has its own past.

    Args:
        memory_s: seconds after which the past counts for 1/e, where the flow explains the picture; 0 for none.
        sigma: levels of brightness, 0..255, by which it may be wrong before the past counts for less.

    Raises:
        InputError: a value out of range.
    """

    def __init__(self, memory_s: float = 0.23, sigma: float = 20.0) -> None:
        if not 0 <= memory_s < math.inf or not sigma > 0:
            raise InputError(f"memory_s is {memory_s}, sigma {sigma}", "Use seconds from 0 on, and a number above 0")
        self._memory_s = memory_s
        self._sigma = sigma
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._past: dict[str, _Past] = {}

    def __call__(
        self, logits: NDArray[np.float32], image: ImageU8, time_s: float, stream: str = ""
    ) -> NDArray[np.float32]:
        """Smooth one frame.

        Args:
            logits: (1, C, h, w) float32, as a backend returns them.
            image: (H, W, 3) uint8 RGB that they are of, at the model's input size.
            time_s: when it was taken, in seconds on any clock. After a gap, or a step back, the stream begins anew.
            stream: its name.

        Returns:
            (1, C, h, w) float32: logarithms of the smoothed probabilities, which do as logits.
        """
        probabilities = _softmax(logits[0])
        height, width = image.shape[:2]
        half = cv2.resize(image, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
        grey_u8 = np.asarray(cv2.cvtColor(half, cv2.COLOR_RGB2GRAY), np.uint8)
        past = self._past.get(stream)
        if past is not None and self._goes_on(past, probabilities, grey_u8, time_s):
            probabilities = self._mix(past, probabilities, grey_u8, self._weight(time_s - past.time_s))
        self._past[stream] = _Past(probabilities, grey_u8, time_s)
        return np.log(np.maximum(probabilities, _LEAST_PROBABILITY))[np.newaxis]

    def _goes_on(
        self, past: _Past, probabilities: NDArray[np.float32], grey_u8: NDArray[np.uint8], time_s: float
    ) -> bool:
        same_shape = past.probabilities.shape == probabilities.shape and past.grey_u8.shape == grey_u8.shape
        return same_shape and 0 < time_s - past.time_s <= _LONGEST_GAP_S and min(grey_u8.shape) >= _SMALLEST_PX

    def _weight(self, step_s: float) -> float:
        """Of the past where the flow explains the picture, after a step of so many seconds."""
        return math.exp(-step_s / self._memory_s) if self._memory_s else 0.0

    def _mix(
        self, past: _Past, probabilities: NDArray[np.float32], grey_u8: NDArray[np.uint8], most: float
    ) -> NDArray[np.float32]:
        _, height, width = probabilities.shape
        flow = np.asarray(self._flow.calc(grey_u8, past.grey_u8, np.zeros((0, 0), np.float32)), np.float32)
        scale = np.array([width / grey_u8.shape[1], height / grey_u8.shape[0]], np.float32)
        flow = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA), np.float32) * scale
        x = np.arange(width, dtype=np.float32) + flow[..., 0]
        y = np.arange(height, dtype=np.float32)[:, np.newaxis] + flow[..., 1]
        now, before = (_small(picture, width, height) for picture in (grey_u8, past.grey_u8))
        residual = now - _warp(before, x, y)
        reliable = np.exp(-np.square(residual / self._sigma))
        if reliable.mean() < _CUT:
            return probabilities
        reliable[(x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)] = 0  # it was out of sight
        weight = most * reliable
        moved = np.stack([_warp(plane, x, y) for plane in past.probabilities])
        mixed: NDArray[np.float32] = weight * moved + (1 - weight) * probabilities
        return mixed


_CUT = 0.7
"""Where the flow explains less than this of the picture, it is another scene: 0.9 and more of a street at 15 Hz, 0.6 to
0.7 of the same street three seconds later."""

_SMALLEST_PX = 16
"""DIS matches patches of 8 pixels, at two sizes at least."""


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    scores = np.exp(logits - logits.max(axis=0))
    probabilities: NDArray[np.float32] = scores / scores.sum(axis=0)
    return probabilities


def _small(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _warp(plane: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """The plane's values at (x, y), between pixels linearly; beyond its border those of the border."""
    return np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
