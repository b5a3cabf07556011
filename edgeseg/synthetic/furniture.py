"""What stands on the pavement: lamp posts, signs, traffic lights, bollards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseg.synthetic import classes
from edgeseg.synthetic.camera import Floats, Pose
from edgeseg.synthetic.canvas import Canvas, Shot
from edgeseg.synthetic.facades import pick
from edgeseg.synthetic.light import Color, Light, lit, mix


@dataclass(frozen=True)
class Furniture:
    """One piece.

    Attributes:
        kind: ``lamp``, ``round_sign``, ``triangle_sign``, ``board``, ``traffic_light`` or ``bollard``.
        height_m: of the pole.
        metal, face: colours, lit.
        reach: -1 or 1: to which side a lamp's arm points.
    """

    kind: str
    height_m: float
    metal: Color
    face: Color
    reach: float

    @classmethod
    def make(cls, rng: np.random.Generator, kind: str, light: Light, side: int) -> Furniture:
        """A piece of that kind for the pavement on that side (-1 left, 1 right)."""
        height = {"lamp": rng.uniform(5.5, 9.0), "bollard": rng.uniform(0.9, 1.1), "traffic_light": 3.0}.get(
            kind, rng.uniform(2.4, 3.0)
        )
        brightness = light.on((0.0, 0.1, -0.99)) * 0.7 + 0.3 * light.on((-float(side), 0.0, 0.0))
        metal = pick(rng, ((120, 124, 126), (60, 66, 66), (40, 44, 44), (146, 148, 146)), 8)
        face = pick(rng, ((36, 70, 150), (216, 170, 40), (200, 204, 200), (170, 36, 36), (40, 110, 70)), 10)
        return cls(kind, float(height), lit(metal, brightness), lit(face, brightness * 1.05), -float(side))

    def draw(self, shot: Shot, pose: Pose) -> None:
        """Draw it with its foot there."""
        canvas, view, light, z = shot.canvas, shot.view, shot.light, pose.z_m
        haze = light.haze_at(z)
        k = view.scale(z)
        foot = view.project(np.array([pose.x_m]), 0.0, np.array([z]))[0]
        radius = {"lamp": 0.085, "bollard": 0.08}.get(self.kind, 0.05)
        half = max(radius * k, 0.75)
        canvas.darken(foot + np.array([[-2, -0.4], [2, -0.4], [2, 0.5], [-2, 0.5]]) * half, 0.3)
        self._post(canvas, foot, half, self.height_m * k, haze)
        top = foot - [0, self.height_m * k]

        def plate(points: list[tuple[float, float]], color: Color, label: int = classes.SIGN) -> None:
            canvas.polygon(top + np.array(points) * k * [1, -1], color, label, haze)

        black, white = (
            lit((28, 28, 30), light.ambient),
            lit((226, 226, 222), min(light.on((0.0, 0.0, -1.0)) + 0.1, 1.0)),
        )
        if self.kind == "lamp":
            arm = self.reach * 1.3
            canvas.polyline(
                top + np.array([[0, 0], [arm * 0.4, -0.25], [arm, -0.35]]) * k,
                mix(self.metal, light.haze, haze),
                classes.POLE,
                0.09 * k,
            )
            plate(
                [(arm * 0.8, 0.42), (arm * 1.3, 0.4), (arm * 1.3, 0.28), (arm * 0.8, 0.28)],
                mix(self.metal, white, 0.4),
                classes.POLE,
            )
        elif self.kind == "round_sign":
            red = lit((176, 30, 34), light.on((0.0, 0.0, -1.0)) + 0.1)
            plate(_disc(0.32), red)
            plate(_disc(0.24), white)
            plate([(-0.12, -0.13), (-0.04, -0.13), (-0.04, 0.13), (-0.12, 0.13)], black)
            plate([(0.03, -0.13), (0.14, -0.13), (0.14, 0.13), (0.03, 0.13)], black)
        elif self.kind == "triangle_sign":
            plate([(-0.4, -0.3), (0.4, -0.3), (0.0, 0.38)], lit((176, 30, 34), light.on((0.0, 0.0, -1.0)) + 0.1))
            plate([(-0.26, -0.22), (0.26, -0.22), (0.0, 0.23)], white)
            plate([(-0.04, -0.16), (0.04, -0.16), (0.03, 0.1), (-0.03, 0.1)], black)
        elif self.kind == "board":
            plate([(-0.55, -0.65), (0.55, -0.65), (0.55, 0.25), (-0.55, 0.25)], self.face)
            ink = white if sum(self.face) < 380 else black
            for y in (0.05, -0.2, -0.42):
                plate([(-0.42, y), (0.36 + y * 0.4, y), (0.36 + y * 0.4, y + 0.09), (-0.42, y + 0.09)], ink)
        elif self.kind == "traffic_light":
            plate([(-0.19, -0.6), (0.19, -0.6), (0.19, 0.45), (-0.19, 0.45)], black)
            for y, color in ((0.26, (64, 20, 18)), (-0.06, (60, 46, 16)), (-0.38, (60, 240, 160))):
                plate([(px, py + y) for px, py in _disc(0.11)], color)
        else:
            plate([(-0.08, -0.14), (0.08, -0.14), (0.08, -0.06), (-0.08, -0.06)], white, classes.POLE)

    def _post(self, canvas: Canvas, foot: Floats, half: float, height: float, haze: float) -> None:
        box = np.array([[-1, 0], [1, 0], [1, 1], [-1, 1]]) * [half, -height]
        canvas.polygon(foot + box, mix(self.metal, (0, 0, 0), 0.2), classes.POLE, haze)
        if half > 1.5:
            canvas.polygon(
                foot + box * [0.45, 1] - [half * 0.15, 0], mix(self.metal, (255, 255, 255), 0.12), classes.POLE, haze
            )


def _disc(radius: float) -> list[tuple[float, float]]:
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    return [(float(radius * np.cos(a)), float(radius * np.sin(a))) for a in angle]
