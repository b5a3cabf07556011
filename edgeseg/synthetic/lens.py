"""From the canvas to what a camera delivers: pixels averaged, exposure, blur, vignette, sensor noise."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.synthetic.canvas import U8
from edgeseg.synthetic.noise import to_u8

_TILE = 64


class Lens:
    """One camera; only its noise changes from frame to frame.

    Args:
        rng: draws its character.
        height, width: of the picture in pixels.
        dark: whether it works at dusk, with more noise and a colder tint.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int, dark: bool) -> None:
        self._height, self._width = height, width
        level = np.arange(256) / 255.0
        contrast, exposure = rng.uniform(0.85, 1.2), rng.uniform(1.0, 1.2)
        tint = np.array([rng.normal(0.975, 0.02), 1.0, rng.normal(1.035, 0.03)]) * ([0.97, 1.0, 1.02] if dark else 1.0)
        curve = np.clip(level * exposure, 0, 1.2)[:, None] ** contrast * tint
        # A shoulder, so that the sky whitens softly instead of clipping.
        curve = np.where(curve > 0.85, 0.85 + 0.15 * np.tanh((curve - 0.85) / 0.15), curve)
        self._curve: U8 = np.ascontiguousarray(to_u8((curve * 255).astype(np.float32)))[:, None, :]
        self._blur = float(rng.uniform(0.35, 0.75)) * max(1.0, width / 640)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        fall = 1 - rng.uniform(0.02, 0.18) * np.clip(x**2 + y**2 - 0.3, 0, None)
        self._vignette: U8 = np.repeat(to_u8(fall * 255)[..., None], 3, axis=2)
        amplitude = rng.uniform(0.8, 2.4)
        noise = rng.normal(0, amplitude, (height + _TILE, width + _TILE, 1)) + rng.normal(
            0, amplitude * 0.5, (height + _TILE, width + _TILE, 3)
        )
        self._noise: U8 = to_u8(np.asarray(cv2.GaussianBlur(noise * 6 + 128, (0, 0), 0.55), dtype=np.float64))

    def expose(self, rgbl: U8, time_s: float, seed: int) -> U8:
        """(2H, 2W, 4) canvas to (H, W, 3) picture."""
        image = cv2.resize(rgbl, (self._width, self._height), interpolation=cv2.INTER_AREA)
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        image = cv2.LUT(image, self._curve.reshape(1, 256, 3))
        image = cv2.GaussianBlur(image, (0, 0), self._blur)
        image = cv2.multiply(image, self._vignette, scale=1 / 255)
        key = np.random.SeedSequence([seed, int(np.float64(time_s).view(np.uint64))]).generate_state(2)
        y, x = int(key[0] % _TILE), int(key[1] % _TILE)
        noise = self._noise[y : y + self._height, x : x + self._width]
        return np.asarray(cv2.addWeighted(image, 1.0, noise, 1 / 3, -128 / 3), dtype=np.uint8)
