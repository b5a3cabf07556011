"""The light of one street: sun and sky, haze, and what the camera makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
"""RGB on the scale 0..255, not rounded."""


@dataclass(frozen=True)
class Light:
    """Illumination and weather.

    Attributes:
        mood: ``overcast``, ``sunny``, ``glare`` (white sky, low sun) or ``dusk``.
        sun: unit vector towards the sun in camera axes (right, up, forward).
        sun_strength, ambient: what a surface facing the sun gets, and what every surface gets; 1 leaves albedo as is.
        zenith, horizon, haze: colours of the sky and of the far distance.
        visibility_m: distance at which haze takes 63 percent.
    """

    mood: str
    sun: tuple[float, float, float]
    sun_strength: float
    ambient: float
    zenith: Color
    horizon: Color
    haze: Color
    visibility_m: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """A light at random."""
        mood = str(rng.choice(["overcast", "sunny", "glare", "dusk"], p=[0.3, 0.33, 0.24, 0.13]))
        azimuth = rng.uniform(0.5, 2.6) * rng.choice([-1.0, 1.0])
        elevation = rng.uniform(0.25, 0.8)
        sun = (
            float(np.sin(azimuth) * np.cos(elevation)),
            float(np.sin(elevation)),
            float(np.cos(azimuth) * np.cos(elevation)),
        )
        jitter = rng.uniform(0.93, 1.07)
        if mood == "overcast":
            sky = rng.uniform(225, 252)
            return cls(
                mood, sun, rng.uniform(0.05, 0.25), jitter * rng.uniform(0.75, 1.0), (sky - 14, sky - 9, sky - 6),
                (sky, sky + 3, sky + 4), (sky - 40, sky - 34, sky - 30), rng.uniform(150, 500),
            )  # fmt: skip
        if mood == "sunny":
            blue = rng.uniform(0, 40)
            return cls(
                mood, sun, rng.uniform(0.8, 1.3), jitter * rng.uniform(0.55, 0.78), (150 - blue, 195 - blue / 2, 238),
                (238, 246, 250), (195, 210, 222), rng.uniform(400, 1200),
            )  # fmt: skip
        if mood == "glare":
            return cls(
                mood, sun, rng.uniform(0.6, 1.1), jitter * rng.uniform(0.55, 0.85), (246, 250, 252),
                (255, 255, 255), (225, 228, 230), rng.uniform(250, 700),
            )  # fmt: skip
        sky = rng.uniform(150, 220)
        return cls(
            mood, sun, 0.05, jitter * rng.uniform(0.25, 0.5), (sky - 40, sky - 30, sky - 20),
            (sky + 15, sky + 18, sky + 14), (sky * 0.55, sky * 0.58, sky * 0.6), rng.uniform(200, 500),
        )  # fmt: skip

    def on(self, normal: tuple[float, float, float] | NDArray[np.float64]) -> float:
        """Brightness of a surface with this outward normal (right, up, forward)."""
        n = np.asarray(normal)
        direct = max(0.0, float(n @ np.asarray(self.sun)))
        return self.ambient * (0.8 + 0.25 * float(n[1])) + self.sun_strength * direct

    def haze_at(self, z_m: float) -> float:
        """The share of haze at a depth, 0..1."""
        return float(1.0 - np.exp(-max(z_m - 15.0, 0.0) / self.visibility_m))


def lit(color: Color, brightness: float) -> Color:
    """An albedo under a brightness, not beyond white."""
    return (
        min(color[0] * brightness, 255.0),
        min(color[1] * brightness, 255.0),
        min(color[2] * brightness, 255.0),
    )


def mix(a: Color, b: Color, share_of_b: float) -> Color:
    """Between two colours."""
    t = share_of_b
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)
