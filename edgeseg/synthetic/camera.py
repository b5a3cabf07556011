"""Where the street runs, and how a point of it falls on the picture.

Street coordinates are ``s`` (metres along the centre line), ``d`` (metres to the right of it) and ``y`` (metres above
the ground). Camera coordinates are x (right), y (above the ground) and z (forward), all in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STREET_M = 512.0
"""The street repeats after this length; every period along it divides it."""

BEHIND_M = 12.0
FAR_M = 190.0
NEAR_M = 1.5
"""Geometry nearer than this to the camera plane is cut off."""


@dataclass(frozen=True)
class CenterLine:
    """The heading of the street: a sum of sines of the distance, so that it closes on itself after STREET_M.

    Attributes:
        amplitude_rad, cycles, phase_rad: one entry for each sine; cycles are whole numbers per STREET_M.
    """

    amplitude_rad: Floats
    cycles: Floats
    phase_rad: Floats

    def heading(self, s_m: Floats | float) -> Floats:
        """Heading in radians, positive to the right, at each distance."""
        angle = np.multiply.outer(np.asarray(s_m), self.cycles * (2 * np.pi / STREET_M)) + self.phase_rad
        return np.asarray(np.sin(angle) @ self.amplitude_rad)


@dataclass(frozen=True)
class Pose:
    """Where something stands before the camera, and its turn to the right against the camera's axis."""

    x_m: float
    z_m: float
    heading_rad: float


class View:
    """The street as one camera pose sees it.

    Args:
        line: the street's course.
        s_m, d_m, height_m: where the camera is.
        yaw_rad: its heading against the street's, positive to the right.
        focal_px, center_px, horizon_px: the pinhole camera, in pixels of the canvas.
    """

    def __init__(
        self,
        line: CenterLine,
        *,
        s_m: float,
        d_m: float,
        height_m: float,
        yaw_rad: float,
        focal_px: float,
        center_px: float,
        horizon_px: float,
    ) -> None:
        self.s_m, self.d_m, self.height_m = s_m, d_m, height_m
        self.focal_px, self.center_px, self.horizon_px = focal_px, center_px, horizon_px
        self.heading_rad = float(line.heading(s_m)) + yaw_rad
        self._ahead = np.arange(-BEHIND_M, FAR_M + 20.0)
        middle = self._ahead[:-1] + 0.5
        theta = line.heading(s_m + middle) - self.heading_rad
        origin = int(BEHIND_M)
        x = np.concatenate([[0.0], np.cumsum(np.sin(theta))])
        z = np.concatenate([[0.0], np.cumsum(np.cos(theta))])
        self._theta = line.heading(s_m + self._ahead) - self.heading_rad
        cos, sin = np.cos(self._theta[origin]), np.sin(self._theta[origin])
        self._x = x - x[origin] - d_m * cos
        self._z = z - z[origin] + d_m * sin

    def ahead(self, s_m: Floats | float) -> Floats:
        """Distance along the street from the camera, in [-BEHIND_M, STREET_M - BEHIND_M)."""
        return np.asarray(np.mod(np.asarray(s_m) - self.s_m + BEHIND_M, STREET_M) - BEHIND_M)

    def place(self, ahead_m: Floats | float, d_m: Floats | float) -> tuple[Floats, Floats, Floats]:
        """Camera x and z in metres, and the street's heading in radians, at a distance ahead and a lateral offset."""
        theta = np.interp(ahead_m, self._ahead, self._theta)
        x = np.interp(ahead_m, self._ahead, self._x) + d_m * np.cos(theta)
        z = np.interp(ahead_m, self._ahead, self._z) - d_m * np.sin(theta)
        return np.asarray(x), np.asarray(z), np.asarray(theta)

    def pose(self, ahead_m: float, d_m: float, turn_rad: float = 0.0) -> Pose:
        """The same for one thing that is turned by ``turn_rad`` against the street."""
        x, z, theta = self.place(ahead_m, d_m)
        return Pose(float(x), float(z), float(theta) + turn_rad)

    def rows(self, v_px: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """For rows below the horizon: depth z, the centre line's distance ahead, its x and heading at that depth."""
        z = self.focal_px * self.height_m / (v_px - self.horizon_px)
        ahead = np.interp(z, self._z, self._ahead)
        return z, ahead, np.interp(ahead, self._ahead, self._x), np.interp(ahead, self._ahead, self._theta)

    def project(self, x: Floats, y: Floats | float, z: Floats) -> Floats:
        """Camera coordinates in metres to (..., 2) canvas pixels; depths below NEAR_M are taken as NEAR_M."""
        scale = self.focal_px / np.maximum(z, NEAR_M)
        out = np.empty((*scale.shape, 2))
        out[..., 0] = self.center_px + x * scale
        out[..., 1] = self.horizon_px + (self.height_m - y) * scale
        return out

    def scale(self, z: float) -> float:
        """Canvas pixels per metre at a depth."""
        return self.focal_px / max(z, NEAR_M)
