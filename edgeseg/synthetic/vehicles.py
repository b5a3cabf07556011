"""Cars, vans and buses as small solids: flat faces, lit once, drawn from whichever side they are seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgeseg.synthetic import classes
from edgeseg.synthetic.camera import NEAR_M, Floats, Pose
from edgeseg.synthetic.canvas import Shot
from edgeseg.synthetic.facades import pick
from edgeseg.synthetic.light import Color, Light, lit, mix

PAINTS: tuple[Color, ...] = (
    (160, 163, 167), (120, 124, 130), (34, 36, 42), (24, 26, 30), (30, 33, 40),
    (36, 48, 84), (60, 84, 128), (136, 28, 30), (196, 196, 194), (58, 66, 62), (100, 106, 112), (40, 60, 50),
    (46, 92, 110),
)  # fmt: skip
GLASS: Color = (24, 28, 33)
TYRE: Color = (24, 24, 25)


@dataclass(frozen=True)
class Shape:
    """Side view in metres: z forward from the middle, y up.

    Attributes:
        length, width, height: over all.
        hood, belt: heights of the bonnet's front edge and of the window line.
        screen: z of the windscreen's foot; the roof begins ``rake`` behind it.
        rake: how far the windscreen leans back.
        rear: z of the rear window's foot; the roof ends ``rear_rake`` before it.
        rear_rake: how far the rear window leans.
        deck: height of the boot's rear edge.
    """

    length: float
    width: float
    height: float
    hood: float
    belt: float
    screen: float
    rake: float
    rear: float
    rear_rake: float
    deck: float


SHAPES = {
    "hatchback": Shape(3.9, 1.68, 1.44, 0.74, 0.92, 1.05, 0.85, -1.85, 0.45, 0.9),
    "saloon": Shape(4.5, 1.76, 1.43, 0.74, 0.93, 1.15, 0.95, -1.45, 0.75, 0.95),
    "estate": Shape(4.6, 1.76, 1.48, 0.76, 0.93, 1.25, 0.9, -2.2, 0.4, 0.92),
    "offroad": Shape(4.5, 1.85, 1.85, 0.98, 1.12, 1.15, 0.55, -2.15, 0.15, 1.1),
    "van": Shape(5.0, 1.95, 2.2, 1.0, 1.25, 1.75, 0.75, -2.45, 0.06, 1.2),
    "bus": Shape(10.0, 2.5, 3.1, 0.9, 1.15, 4.85, 0.2, -4.95, 0.06, 1.15),
}

DETAIL_M = 45.0
"""Farther away than this, wheels' hubs, plates and the like are left out."""


@dataclass(frozen=True)
class Face:
    """A flat polygon of a vehicle: (n, 3) corners (right, up, forward), outward normal, and colour already lit.

    A normal of zero is seen from everywhere.
    """

    corners: Floats
    normal: Floats
    color: Color
    detail: bool


class Vehicle:
    """One vehicle, standing with its nose along +z of its own axes.

    Args:
        rng: draws paint and small differences.
        kind: a key of SHAPES.
        light: the light it stands in.
        turned: True where it comes towards the camera, which turns its lit side.
    """

    def __init__(self, rng: np.random.Generator, kind: str, light: Light, turned: bool) -> None:
        self.shape = SHAPES[kind]
        self.kind = kind
        self._light, self._turn = light, -1.0 if turned else 1.0
        self.paint = pick(
            rng, ((150, 26, 28), (40, 84, 150), (196, 194, 186), (30, 90, 70)) if kind == "bus" else PAINTS
        )
        if kind == "van" and rng.random() < 0.6:
            self.paint = (206, 208, 208)
        self._faces: list[Face] = []
        self._treads()
        self._body(rng)
        self._cabin()
        self._wheels(lit(pick(rng, ((128, 130, 134), (96, 98, 102)), 8), self._brightness(np.array([1.0, 0.0, 0.0]))))
        self._near = _Mesh(self._faces)
        self._far = _Mesh([face for face in self._faces if not face.detail])

    def draw(self, shot: Shot, pose: Pose) -> None:
        """Draw it with its middle there and its nose in the pose's heading, shadow included."""
        x, z, heading = pose.x_m, pose.z_m, pose.heading_rad
        cos, sin = math.cos(heading), math.sin(heading)
        half, reach = self.shape.length / 2, self.shape.length
        if z + half < NEAR_M * 1.5 or abs(x) - reach > (z + reach) * shot.canvas.width / shot.view.focal_px:
            return

        def project(points: Floats) -> Floats:
            px, py, pz = points[:, 0], points[:, 1], points[:, 2]
            return shot.view.project(x + px * cos + pz * sin, py, z - px * sin + pz * cos)

        haze = shot.light.haze_at(z)
        if z < DETAIL_M:
            for outline in self._shadows:
                shot.canvas.darken(project(outline), 0.4)
        else:
            shot.canvas.polygon(project(self._shadows[1]), (18, 18, 20), classes.ROAD, haze)
        mesh = self._near if z < DETAIL_M else self._far
        eye = np.array([-x * cos + z * sin, shot.view.height_m, -x * sin - z * cos])
        pixels = project(mesh.corners)
        seen = np.flatnonzero(mesh.normals @ eye >= mesh.offsets).tolist()
        shot.canvas.polygons(pixels, [mesh.spans[i] for i in seen], [mesh.colors[i] for i in seen], classes.CAR, haze)

    @cached_property
    def _shadows(self) -> list[Floats]:
        """Outlines on the ground, the outer, softer one first."""
        outlines = []
        for grow in (0.2, 0.0):
            a, b = self.shape.width / 2 + grow, self.shape.length / 2 + grow
            c = np.array([[-a, 0.3 - b], [0.3 - a, -b], [a - 0.3, -b], [a, 0.3 - b]])
            outlines.append(np.insert(np.concatenate([c, -c]), 1, 0.0, axis=1))
        return outlines

    def _treads(self) -> None:
        """The wheels seen between the body and the road."""
        w, r = self.shape.width / 2, self._wheel_r
        for z in self._wheel_z:
            for x0 in (-w, w - 0.2):
                for dz in (-r * 0.5, r * 0.5):
                    corners = np.array([[x0, 0, 0], [x0 + 0.2, 0, 0], [x0 + 0.2, 1.8 * r, 0], [x0, 1.8 * r, 0]])
                    self._faces.append(
                        Face(corners + np.array([0, 0, z + dz]), np.zeros(3), (14.0, 14.0, 15.0), dz > 0)
                    )

    def _wheels(self, hub: Color) -> None:
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        circle = np.stack([np.zeros(16), np.sin(angle), np.cos(angle)], axis=1)
        r, w = self._wheel_r, self.shape.width / 2
        rings: tuple[tuple[float, Color, bool], ...] = (
            (r + 0.05, (12, 12, 13), True), (r, TYRE, False),
            (r * 0.62, mix(hub, (20, 20, 20), 0.3), False), (r * 0.44, hub, True)
        )  # fmt: skip
        for side in (-1.0, 1.0):
            for z in self._wheel_z:
                for radius, color, detail in rings:
                    lift = 0.03 if radius > r else 0.0
                    corners = circle * radius + [side * (w + 0.005), r + lift, z]
                    self._faces.append(Face(corners, np.array([side, 0.0, 0.0]), color, detail))

    @property
    def _wheel_z(self) -> tuple[float, float]:
        return self.shape.length / 2 - 0.78, 0.74 - self.shape.length / 2

    @property
    def _wheel_r(self) -> float:
        return {"bus": 0.48, "offroad": 0.38}.get(self.kind, 0.31)

    def _brightness(self, normal: Floats) -> float:
        return self._light.on(np.array([normal[0] * self._turn, normal[1], normal[2] * self._turn]))

    def _add(
        self,
        corners: list[tuple[float, float, float]],
        color: Color,
        gloss: float = 0.0,
        emits: bool = False,
        detail: bool = False,
    ) -> None:
        """A face whose normal points away from the vehicle's middle; gloss is the share of sky it mirrors.

        What emits is not lit.
        """
        points = np.asarray(corners, dtype=np.float64)
        # Newell's method: right for any three corners in a line, and for faces that are not quite flat.
        normal = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        if normal @ (points.mean(axis=0) - [0, self.shape.height * 0.45, 0]) < 0:
            normal = -normal
        tone = color if emits else lit(color, self._brightness(normal))
        upward = max(float(normal[1]), 0.0)
        self._faces.append(Face(points, normal, mix(tone, self._light.horizon, gloss * upward), detail))

    def _both(
        self,
        corners: list[tuple[float, float, float]],
        color: Color,
        gloss: float = 0.0,
        emits: bool = False,
        detail: bool = False,
    ) -> None:
        for side in (-1.0, 1.0):
            self._add([(x * side, y, z) for x, y, z in corners], color, gloss, emits, detail)

    def _body(self, rng: np.random.Generator) -> None:
        m, p = self.shape, self.paint
        w, f, sill = m.width / 2, m.length / 2, 0.32 if self.kind == "offroad" else 0.2
        bumper = p if rng.random() < 0.6 else (44.0, 45.0, 47.0)
        mid, hood, deck, c = sill + (m.hood - sill) * 0.5, m.hood, m.deck - 0.1, 0.22
        # Flanks: a dark sill, the door panel, and a shoulder that leans in and so catches the sky.
        self._both([(w, sill, f - c), (w, mid, f - c), (w, mid, c - f), (w, sill, c - f)], mix(p, (0, 0, 0), 0.25))
        crease = sill + (m.hood - sill) * 0.82
        self._both([(w, mid, f - c), (w, crease, f - c), (w, crease, c - f), (w, mid, c - f)], p, 0.1)
        self._both(
            [(w, crease, f - c), (w * 0.95, hood, f - c), (w * 0.94, m.belt, m.screen), (w * 0.94, m.belt, m.rear),
             (w * 0.95, deck, c - f), (w, crease, c - f)],
            p, 0.5,
        )  # fmt: skip
        for z in (m.screen - 0.15, (m.screen + m.rear) / 2 + 0.1, m.rear + 0.55):
            seam = [
                (w + 0.004, sill + 0.08, z),
                (w + 0.004, crease, z),
                (w + 0.004, crease, z - 0.02),
                (w + 0.004, sill + 0.08, z - 0.02),
            ]
            self._both(seam, mix(p, (0, 0, 0), 0.6), detail=True)
        strip = [
            (w + 0.006, mid, f - c),
            (w + 0.006, mid + 0.06, f - c),
            (w + 0.006, mid + 0.06, c - f),
            (w + 0.006, mid, c - f),
        ]
        self._both(strip, (40, 41, 43) if rng.random() < 0.6 else mix(p, (0, 0, 0), 0.2), detail=True)
        a = w - c
        for end, high in ((1.0, hood), (-1.0, deck)):
            z_end, z_corner, z_top = end * f, end * (f - c), end * (f - 0.08)
            self._both([(w, sill, z_corner), (w, mid, z_corner), (a, mid, z_end), (a, sill, z_end)], bumper, 0.1)
            self._both(
                [
                    (w, mid, z_corner),
                    (w, crease, z_corner),
                    (w * 0.95, high, z_corner),
                    (a, high, z_top),
                    (a, mid, z_end),
                ],
                p,
                0.15,
            )
            self._add([(-a, sill, z_end), (a, sill, z_end), (a, mid, z_end), (-a, mid, z_end)], bumper, 0.1)
            self._add([(-a, mid, z_end), (a, mid, z_end), (a, high, z_top), (-a, high, z_top)], p, 0.15)
        for end, high, foot, gloss in ((1.0, hood, m.screen, 0.45), (-1.0, deck, m.rear, 0.35)):
            z_corner, z_top, t, b = end * (f - c), end * (f - 0.08), w * 0.95, w * 0.94
            self._add([(-t, high, z_corner), (-a, high, z_top), (a, high, z_top), (t, high, z_corner),
                       (b, m.belt, foot), (-b, m.belt, foot)], p, gloss)  # fmt: skip
        self._lamps(w, f, sill, mid)

    def _lamps(self, w: float, f: float, sill: float, mid: float) -> None:
        m = self.shape
        front, back = f + 0.01, -f - 0.01
        dark = self._light.mood == "dusk"
        lamp: Color = (255, 246, 214) if dark else (200, 204, 204)
        high = mid + (m.hood - mid) * 0.85
        self._both(
            [
                (w - 0.1, mid + 0.03, f - 0.1),
                (w - 0.48, mid + 0.05, front),
                (w - 0.45, high, f - 0.05),
                (w - 0.1, high, f - 0.14),
            ],
            lamp,
            emits=dark,
        )
        self._add(
            [
                (-w * 0.4, mid + 0.04, front),
                (w * 0.4, mid + 0.04, front),
                (w * 0.4, high - 0.03, f - 0.05),
                (-w * 0.4, high - 0.03, f - 0.05),
            ],
            (34, 35, 37),
            detail=True,
        )
        self._add(
            [
                (-0.26, sill + 0.12, front),
                (0.26, sill + 0.12, front),
                (0.26, sill + 0.23, front),
                (-0.26, sill + 0.23, front),
            ],
            (214, 214, 204),
            detail=True,
        )
        self._add(
            [
                (-w * 0.7, sill, front),
                (w * 0.7, sill, front),
                (w * 0.7, sill + 0.09, front),
                (-w * 0.7, sill + 0.09, front),
            ],
            (20, 20, 22),
            detail=True,
        )
        red: Color = (225, 30, 24) if dark else (138, 24, 22)
        top = m.deck - 0.12
        self._both(
            [
                (w - 0.02, mid + 0.08, back + 0.16),
                (w - 0.22, mid + 0.08, back),
                (w - 0.22, top, back + 0.07),
                (w - 0.03, top, back + 0.17),
            ],
            red,
            emits=dark,
        )
        y = mid - 0.02 if m.deck < 1.0 else mid + 0.1
        self._add(
            [(-0.26, y, back), (0.26, y, back), (0.26, y + 0.12, back), (-0.26, y + 0.12, back)],
            (204, 172, 52),
            detail=True,
        )
        self._add(
            [(-w * 0.8, sill, back), (w * 0.8, sill, back), (w * 0.8, sill + 0.1, back), (-w * 0.8, sill + 0.1, back)],
            (18, 18, 20),
            detail=True,
        )

    def _cabin(self) -> None:
        m, p = self.shape, self.paint
        w, top = m.width / 2, m.height
        a, b = w * 0.94, w * (0.76 if self.kind not in ("van", "bus") else 0.9)
        front, back = m.screen - m.rake, m.rear + m.rear_rake
        middle = (front + back) / 2
        self._both([(a, m.belt, m.screen), (b, top - 0.05, front), (b, top - 0.05, back), (a, m.belt, m.rear)], p, 0.2)
        self._add(
            [(-a, m.belt, m.screen), (a, m.belt, m.screen), (b, top - 0.05, front), (-b, top - 0.05, front)], p, 0.3
        )
        self._add([(-a, m.belt, m.rear), (a, m.belt, m.rear), (b, top - 0.05, back), (-b, top - 0.05, back)], p, 0.3)
        self._add(
            [(-b, top - 0.05, front), (b, top - 0.05, front), (b * 0.95, top, middle), (-b * 0.95, top, middle)], p, 0.5
        )
        self._add(
            [(-b, top - 0.05, back), (b, top - 0.05, back), (b * 0.95, top, middle), (-b * 0.95, top, middle)], p, 0.4
        )

        def across(
            z_low: float, z_high: float, low: float, high: float, inset: float
        ) -> list[tuple[float, float, float]]:
            def at(t: float) -> tuple[float, float, float]:
                return a + (b - a) * t - inset, m.belt + (top - 0.05 - m.belt) * t, z_low + (z_high - z_low) * t

            (xl, yl, zl), (xh, yh, zh) = at(low), at(high)
            return [(-xl, yl, zl), (xl, yl, zl), (xh, yh, zh), (-xh, yh, zh)]

        out = 0.012
        self._add(across(m.screen + out, front + out, 0.04, 0.92, 0.07), GLASS, 0.34)
        self._add(across(m.screen + 2 * out, front + 2 * out, 0.04, 0.3, 0.09), (20, 22, 24), 0.1, detail=True)
        if self.kind != "van":
            foot = 0.55 if self.kind == "bus" else 0.12
            self._add(across(m.rear - out, back - out, foot, 0.9, 0.1), GLASS, 0.3)
        # Side windows: glass in panes between pillars, brighter above where it mirrors the sky.
        length = m.screen - m.rear
        panes = {"bus": 6, "van": 1, "saloon": 2, "hatchback": 2}.get(self.kind, 3)
        low, high = 0.08, 0.86
        for i in range(panes):
            t0, t1 = i / panes + 0.03, (i + 1) / panes - 0.025
            if self.kind == "van":
                t0, t1 = 0.05, 0.24

            def at(t: float, rise: float) -> tuple[float, float, float]:
                z_low, z_high = m.screen - t * length, front - t * (front - back)
                return a + (b - a) * rise + out, m.belt + (top - 0.05 - m.belt) * rise, z_low + (z_high - z_low) * rise

            self._both([at(t0, low), at(t0, high), at(t1, high), at(t1, low)], GLASS, 0.3)
            split = low + (high - low) * 0.55
            self._both(
                [at(t0, split), at(t0, high), at(t1, high), at(t1, split)],
                mix(GLASS, (90, 98, 104), 0.45),
                0.4,
                detail=True,
            )


class _Mesh:
    """Faces as arrays: what is seen of them is one matrix product."""

    def __init__(self, faces: list[Face]) -> None:
        self.corners = np.concatenate([face.corners for face in faces])
        ends = np.cumsum([len(face.corners) for face in faces]).tolist()
        self.spans = list(zip([0, *ends[:-1]], ends, strict=True))
        self.colors = [face.color for face in faces]
        self.normals = np.stack([face.normal for face in faces])
        self.offsets = np.array([face.normal @ face.corners.mean(axis=0) for face in faces])


def draw_kind(rng: np.random.Generator) -> str:
    """A kind at random, as often as on the road."""
    return str(rng.choice(list(SHAPES), p=[0.34, 0.2, 0.16, 0.12, 0.14, 0.04]))
