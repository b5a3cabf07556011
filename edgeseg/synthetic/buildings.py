"""Buildings and fences: flat faces with textures, along the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseg.synthetic import classes, facades
from edgeseg.synthetic.camera import Floats
from edgeseg.synthetic.canvas import Shot, Texture
from edgeseg.synthetic.light import Color, Light, lit

CUT_M = 2.0
"""What lies nearer than this ahead is cut off; it is outside the picture in any case."""


@dataclass(frozen=True)
class House:
    """A building's looks; where it stands is the layout's business.

    Attributes:
        style: ``house``, ``shop`` or ``office``.
        width_m, height_m, depth_m, roof_m: roof_m is the height of the ridge above the eaves, 0 for a flat roof.
        front, end, slope: lit textures.
        chimney: its lit front and side colours; None without one.
    """

    style: str
    width_m: float
    height_m: float
    depth_m: float
    roof_m: float
    front: Texture
    end: Texture
    slope: Texture
    chimney: tuple[Color, Color] | None

    @classmethod
    def make(cls, rng: np.random.Generator, style: str, light: Light, side: int) -> House:
        """A house for that side of the street (-1 left, 1 right): the side decides how the light falls."""
        low, high = {"house": (5.5, 10.0), "shop": (5.0, 11.0), "office": (12.0, 20.0)}[style]
        width = float(rng.uniform(low, high))
        storeys = int(rng.integers(2, 4)) if style != "office" else int(rng.integers(3, 6))
        height = storeys * 2.95 + (0.6 if style == "shop" else 0.3)
        brick = bool(rng.random() < 0.62)
        color = facades.pick(rng, facades.BRICKS if brick else facades.RENDERS)
        tiles = facades.pick(rng, ((74, 76, 82), (92, 66, 54), (62, 60, 60), (88, 82, 76)), 8)
        pitched = style != "office" and rng.random() < 0.8
        depth = float(rng.uniform(7, 10))
        roof = float(rng.uniform(2.0, 3.4)) if pitched else 0.0
        toward = -float(side)
        front_light, end_light = light.on((toward, 0.0, 0.0)), light.on((0.0, 0.0, -1.0))
        slope_light = light.on((toward * 0.55, 0.83, 0.0))
        chimney = (
            (lit(color, end_light * 0.9), lit(color, front_light * 0.9)) if pitched and rng.random() < 0.7 else None
        )
        front = facades.front(rng, facades.Wall(width, height, color, brick), style)
        end = facades.bare_wall(rng, facades.Wall(depth, height + roof, color, brick))
        return cls(
            style, width, height, depth, roof,
            Texture(facades.light_texture(front, front_light)),
            Texture(facades.light_texture(end, end_light)),
            Texture(facades.light_texture(facades.roof(rng, width, tiles), slope_light)),
            chimney,
        )  # fmt: skip

    def draw(self, shot: Shot, ahead_m: float, d_m: float) -> None:
        """Draw it with its near front corner at ``ahead_m`` and its front at ``d_m`` from the centre line."""
        side = 1.0 if d_m > 0 else -1.0
        start, end = max(ahead_m, CUT_M), ahead_m + self.width_m
        if end - start < 0.3:
            return
        middle_d = d_m + side * self.depth_m / 2
        x, z, _ = shot.view.place(
            np.array([start, end, start, end, start]),
            np.array([d_m, d_m, middle_d, middle_d, d_m + side * self.depth_m]),
        )
        if z[0] < CUT_M * 0.8 or z[1] < CUT_M:
            return
        haze, project = shot.light.haze_at(float(z[1])), shot.view.project
        cut = (start - ahead_m) / self.width_m
        if start == ahead_m and z[4] > CUT_M:
            self._draw_end(shot, x, z, side)
        if self.roof_m:
            ridge = self.height_m + self.roof_m
            slope = _quad(project(x[2:4], ridge, z[2:4]), project(x[:2], self.height_m, z[:2]), side)
            shot.canvas.textured(slope, self.slope, classes.BUILDING, haze=haze, span=_span(cut, side))
            if self.chimney:
                self._draw_chimney(shot, x[2:4], z[2:4])
        front = _quad(project(x[:2], self.height_m, z[:2]), project(x[:2], 0.0, z[:2]), side)
        shot.canvas.textured(front, self.front, classes.BUILDING, haze=haze, span=_span(cut, side))

    def _draw_end(self, shot: Shot, x: Floats, z: Floats, side: float) -> None:
        haze = shot.light.haze_at(float(z[1]))
        order = [4, 0] if side < 0 else [0, 4]
        top = self.height_m + self.roof_m
        ex, ez = x[order], z[order]
        upper, lower = shot.view.project(ex, top, ez), shot.view.project(ex, 0.0, ez)
        corners = np.concatenate([upper, lower[::-1]])
        if not self.roof_m:
            shot.canvas.textured(corners, self.end, classes.BUILDING, haze=haze)
            return
        eaves, ridge = shot.view.project(ex, self.height_m, ez), shot.view.project(x[2:3], top, z[2:3])
        shot.canvas.textured(
            corners,
            self.end,
            classes.BUILDING,
            haze=haze,
            outline=np.concatenate([eaves[:1], ridge, eaves[1:], lower[::-1]]),
        )

    def _draw_chimney(self, shot: Shot, x: Floats, z: Floats) -> None:
        """A stack on the ridge, whose near and far end are given."""
        near = np.array([x[0], z[0]])
        along = np.array([x[1], z[1]]) - near
        along /= max(float(np.hypot(*along)), 0.1)
        across = np.array([along[1], -along[0]]) * 0.35
        near += along * 0.5
        if self.chimney is None or near[1] < CUT_M:
            return
        ridge = self.height_m + self.roof_m
        inner = across if near[0] < 0 else -across
        flank, face = (near + inner, near + inner + along * 0.9), (near - across, near + across)
        for (a, b), color in ((flank, self.chimney[1]), (face, self.chimney[0])):
            xs, zs = np.array([a[0], b[0]]), np.array([a[1], b[1]])
            upper, lower = shot.view.project(xs, ridge + 1.2, zs), shot.view.project(xs, ridge - 0.7, zs)
            haze = shot.light.haze_at(float(near[1]))
            shot.canvas.polygon(np.concatenate([upper, lower[::-1]]), color, classes.BUILDING, haze)


@dataclass(frozen=True)
class Fence:
    """FENCE_M of fence, hedge or garden wall: its lit texture, its height and its class."""

    texture: Texture
    height_m: float
    label: int

    @classmethod
    def make(cls, rng: np.random.Generator, kind: str, light: Light, side: int) -> Fence:
        """``railings``, ``boards``, ``mesh``, ``hedge`` or ``wall`` for that side of the street."""
        brightness = light.on((-float(side), 0.0, 0.0))
        if kind == "wall":
            height = float(rng.uniform(0.7, 2.0))
            wall = facades.Wall(facades.FENCE_M, height, facades.pick(rng, facades.BRICKS), brick=True)
            texture = facades.bare_wall(rng, wall)
            return cls(Texture(facades.light_texture(texture, brightness)), height, classes.BUILDING)
        make, height = {
            "railings": (facades.railings, 1.1),
            "boards": (facades.boards, 1.8),
            "mesh": (facades.mesh, 1.6),
            "hedge": (facades.hedge, float(rng.uniform(1.1, 2.0))),
        }[kind]
        label = classes.TREE if kind == "hedge" else classes.FENCE
        return cls(Texture(facades.light_texture(make(rng), brightness)), height, label)

    def draw(self, shot: Shot, ahead_m: float, d_m: float, *, length_m: float) -> None:
        """Draw it from ``ahead_m`` on, ``length_m`` long, at ``d_m`` from the centre line."""
        start, end = max(ahead_m, CUT_M), ahead_m + length_m
        if end - start < 0.3:
            return
        x, z, _ = shot.view.place(np.array([start, end]), d_m)
        if z.min() < CUT_M * 0.8:
            return
        side = 1.0 if d_m > 0 else -1.0
        cut, whole = (start - ahead_m) / facades.FENCE_M, length_m / facades.FENCE_M
        span = (cut, whole) if side < 0 else (1 - whole, 1 - cut)
        corners = _quad(shot.view.project(x, self.height_m, z), shot.view.project(x, 0.0, z), side)
        shot.canvas.textured(corners, self.texture, self.label, haze=shot.light.haze_at(float(z[1])), span=span)


def _quad(upper: Floats, lower: Floats, side: float) -> Floats:
    """Two edges, near end first, to corners from top left clockwise as the driver sees them."""
    if side < 0:
        return np.concatenate([upper, lower[::-1]])
    return np.concatenate([upper[::-1], lower])


def _span(cut: float, side: float) -> tuple[float, float]:
    return (cut, 1.0) if side < 0 else (0.0, 1.0 - cut)
