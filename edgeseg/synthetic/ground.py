"""The ground as one periodic map: road with marks, kerbs, pavements with slabs, verges and side streets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeseg.synthetic import classes
from edgeseg.synthetic.camera import View
from edgeseg.synthetic.canvas import U8, Canvas, Texture
from edgeseg.synthetic.facades import pick
from edgeseg.synthetic.light import Light
from edgeseg.synthetic.noise import F32, fractal, grain, opaque

PERIOD_M = 128.0
PX_PER_M = 24
REACH_M = 15.0
"""The map runs from REACH_M left of the centre line to REACH_M right of it."""

PAD_M = 8.0
JUNCTION_M = 9.0
"""Width of a side street; its near edge lies at GroundPlan.junction_m in every period."""


@dataclass(frozen=True)
class GroundPlan:
    """Widths in metres from the centre line, the same on both sides unless said.

    Attributes:
        road_m: half the width of the carriageway.
        pavement_m: where the left and right pavements end.
        grass: whether grass (else paving) lies beyond the left and right pavement.
        junction_m: where side streets start in each period, by side; None for none.
        marks: the centre line: ``dashes``, ``line``, ``zigzag`` or ``none``.
        double_yellow: whether yellow lines run along the kerbs.
        crossing_m: where in each period a zebra crossing lies; None for none.
    """

    road_m: float
    pavement_m: tuple[float, float]
    grass: tuple[bool, bool]
    junction_m: tuple[float | None, float | None]
    marks: str
    double_yellow: bool
    crossing_m: float | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> GroundPlan:
        """A plan at random."""
        road = float(rng.uniform(3.4, 5.2))
        pavement = tuple(road + float(rng.uniform(1.6, 3.6)) for _ in range(2))
        junctions = tuple(float(rng.uniform(20, 100)) if rng.random() < 0.6 else None for _ in range(2))
        return cls(
            road_m=road,
            pavement_m=(pavement[0], pavement[1]),
            grass=(bool(rng.random() < 0.3), bool(rng.random() < 0.3)),
            junction_m=(junctions[0], junctions[1]),
            marks=str(rng.choice(["dashes", "line", "zigzag", "none"], p=[0.6, 0.12, 0.13, 0.15])),
            double_yellow=bool(rng.random() < 0.5),
            crossing_m=float(rng.uniform(10, 110)) if rng.random() < 0.35 else None,
        )

    def in_junction(self, side: int, s_m: float, length_m: float) -> bool:
        """Whether something from s to s + length on that side (-1 left, 1 right) would stand in a side street."""
        start = self.junction_m[0 if side < 0 else 1]
        if start is None:
            return False
        offset = (s_m - start + 1.0) % PERIOD_M
        return offset < JUNCTION_M + 2.0 or offset + length_m > PERIOD_M


class Ground:
    """The map of one street, and its drawing."""

    def __init__(self, rng: np.random.Generator, plan: GroundPlan, light: Light) -> None:
        length, across = int(PERIOD_M * PX_PER_M), int(2 * REACH_M * PX_PER_M)
        s = (np.arange(length, dtype=np.float32) + 0.5)[None, :] / np.float32(PX_PER_M)
        d = (np.arange(across, dtype=np.float32) + 0.5)[:, None] / np.float32(PX_PER_M) - np.float32(REACH_M)
        labels = _zones(plan, s, d)
        image = _paint(rng, plan, s, d, labels)
        image *= _illumination(rng, light, plan, s, d)[..., None]
        pad = int(PAD_M * PX_PER_M)
        self._levels = Texture(np.pad(opaque(image), ((0, 0), (pad, pad), (0, 0)), mode="wrap"), 6).levels
        self._labels: U8 = np.pad(labels, ((0, 0), (pad, pad)), mode="wrap")

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Fill everything below the horizon."""
        first = int(np.floor(view.horizon_px)) + 1
        rows = np.arange(max(first, 0), canvas.height, dtype=np.float64) + 0.5
        rows = rows[rows - view.horizon_px > 0.6]
        if not rows.size:
            return
        top = canvas.height - rows.size
        if top > first:
            canvas.rgbl[first - 1 : top] = (*light.haze, classes.ROAD)
        z, ahead, x, theta = view.rows(rows)
        u = np.arange(canvas.width, dtype=np.float32) + np.float32(0.5 - view.center_px)
        column = np.stack([z * np.cos(theta) / view.focal_px, -x * np.cos(theta)], axis=1).astype(np.float32)
        lateral = column[:, :1] * u
        lateral += column[:, 1:]
        np.clip(lateral, -REACH_M + 0.1, REACH_M - 0.1, out=lateral)
        along = lateral * np.clip(np.tan(theta), -0.5, 0.5).astype(np.float32)[:, None]
        along += (np.mod(view.s_m + ahead, PERIOD_M) + PAD_M)[:, None].astype(np.float32)
        lateral += np.float32(REACH_M)
        # Texels per pixel: along the street they crowd with the square of the depth, so take the middle of both.
        crowding = PX_PER_M * z / view.focal_px * np.sqrt(np.maximum(z / view.height_m, 1.0))
        level = np.clip(np.floor(np.log2(np.maximum(crowding, 1.0)) + 0.2), 0, len(self._levels) - 1).astype(int)
        for k in np.unique(level):
            (band,) = np.nonzero(level == k)
            a, b = int(band[0]), int(band[-1]) + 1
            scale = PX_PER_M / 2**k
            map_s = along[a:b] * np.float32(scale) - np.float32(0.5)
            map_d = lateral[a:b] * np.float32(scale) - np.float32(0.5)
            here = canvas.rgbl[top + a : top + b]
            cv2.remap(self._levels[k], map_s, map_d, cv2.INTER_LINEAR, dst=here, borderMode=cv2.BORDER_REPLICATE)
            if z[a] > 16:
                share = np.array([light.haze_at(v) * 256 for v in z[a:b]]).astype(np.uint16)[:, None, None]
                here[:] = (here * (256 - share) + np.asarray((*light.haze, 0)).astype(np.uint16) * share) >> 8
        nearest = cv2.remap(
            self._labels,
            along * np.float32(PX_PER_M) - np.float32(0.5),
            lateral * np.float32(PX_PER_M) - np.float32(0.5),
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.insertChannel(nearest, canvas.rgbl[top:], 3)


def _zones(plan: GroundPlan, s: F32, d: F32) -> U8:
    labels = np.full((d.shape[0], s.shape[1]), classes.PAVEMENT, dtype=np.uint8)
    for side, (end, grass) in enumerate(zip(plan.pavement_m, plan.grass, strict=True)):
        beyond = (-d if side == 0 else d) > end
        if grass:
            labels[np.broadcast_to(beyond, labels.shape)] = classes.TREE
        start = plan.junction_m[side]
        if start is not None:
            outward = -d if side == 0 else d
            # The kerb turns into the side street on a quarter circle.
            flare = np.clip(3.0 - (outward - plan.road_m), 0, 3)
            flare = 3 - np.sqrt(np.clip(9 - flare**2, 0, 9))
            mouth = (outward > plan.road_m - 0.1) & (s > start - flare) & (s < start + JUNCTION_M + flare)
            labels[mouth] = classes.ROAD
    labels[np.broadcast_to(np.abs(d) <= plan.road_m, labels.shape)] = classes.ROAD
    return labels


def _paint(rng: np.random.Generator, plan: GroundPlan, s: F32, d: F32, labels: U8) -> F32:
    h, w = labels.shape
    image = np.empty((h, w, 3), dtype=np.float32)
    wide = fractal(rng, h, w, [(6, 24, 0.05), (30, 128, 0.04), (120, 512, 0.03)])
    fine = grain(rng, h, w, 0.075)
    asphalt = np.asarray(pick(rng, ((82, 83, 86), (98, 97, 96), (70, 71, 75)), 8), dtype=np.float32)
    lanes = 0.05 * np.cos((np.abs(d) - plan.road_m / 2) * (2 * np.pi / 1.6)) * (np.abs(d) < plan.road_m)
    tone = 1 + wide + fine + lanes + fractal(rng, h, 1, [(40, 1, 0.02)])
    image[:] = asphalt * tone[..., None]
    for _ in range(int(rng.integers(8, 20))):
        x, y = int(rng.integers(w)), int((REACH_M + rng.uniform(-plan.road_m, plan.road_m)) * PX_PER_M)
        dx, dy = int(rng.uniform(0.5, 7) * PX_PER_M), int(rng.uniform(0.4, 1.3) * PX_PER_M)
        image[max(y - dy, 0) : y + dy, x : x + dx] *= rng.uniform(0.8, 1.12)
    for _ in range(int(rng.integers(3, 8))):
        centre = (int(rng.integers(w)), int((REACH_M + rng.uniform(-plan.road_m, plan.road_m) * 0.8) * PX_PER_M))
        cv2.ellipse(image, centre, (8, 8), 0, 0, 360, (asphalt * 0.55).tolist(), -1)
    _slabs(rng, image, labels == classes.PAVEMENT, wide)
    _marks(rng, plan, image, s, d)
    grass = labels == classes.TREE
    if grass.any():
        blades = fractal(rng, h, w, [(60, 200, 0.12), (h // 3, w // 3, 0.2)]) + grain(rng, h, w, 0.12)
        green = np.asarray(pick(rng, ((84, 100, 50), (70, 84, 44), (96, 98, 58))), dtype=np.float32)
        image[grass] = green * (1 + blades[grass] + wide[grass])[:, None]
    _kerbs(rng, image, labels)
    return image


def _slabs(rng: np.random.Generator, image: F32, pavement: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
           wide: F32) -> None:  # fmt: skip
    h, w = pavement.shape
    color = np.asarray(pick(rng, ((112, 109, 104), (94, 92, 90), (126, 118, 108), (104, 88, 82)), 8), dtype=np.float32)
    slab_d, slab_s = (int(0.6 * PX_PER_M), int(0.9 * PX_PER_M)) if rng.random() < 0.7 else (6, 5)
    rows, columns = np.arange(h)[:, None], np.arange(w)[None, :]
    shifted = columns + (rows // slab_d % 2) * (slab_s // 2)
    tones = rng.normal(0, 0.06, (h // slab_d + 1, w // slab_s + 2)).astype(np.float32)
    tone = 1 + tones[rows // slab_d, shifted // slab_s] + wide + grain(rng, h, w, 0.05)
    tone[(rows % slab_d == 0) | (shifted % slab_s == 0)] *= 0.78
    image[pavement] = color * tone[pavement][:, None]


def _kerbs(rng: np.random.Generator, image: F32, labels: U8) -> None:
    road = (labels == classes.ROAD).astype(np.uint8)
    stone = np.asarray(pick(rng, ((150, 148, 142), (132, 128, 122)), 8), dtype=np.float32)
    inside = cv2.dilate(road, np.ones((9, 9), np.uint8)) - road
    image[inside > 0] = stone * (1 + grain(rng, 1, int(inside.sum()), 0.08)[0])[:, None]
    gutter = road - cv2.erode(road, np.ones((11, 11), np.uint8))
    image[gutter > 0] *= 0.72
    face = road - cv2.erode(road, np.ones((5, 5), np.uint8))
    image[face > 0] *= 0.6


def _marks(rng: np.random.Generator, plan: GroundPlan, image: F32, s: F32, d: F32) -> None:
    h, w = image.shape[:2]
    wear = np.clip(0.85 + fractal(rng, h, w, [(60, 256, 0.2)]) + grain(rng, h, w, 0.12), 0.15, 1.0)
    white, yellow = (205.0, 206.0, 200.0), (176.0, 146.0, 70.0)
    road_m = plan.road_m

    def paint(where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], color: tuple[float, float, float]) -> None:
        where = np.broadcast_to(where, (h, w))
        share = wear[where][:, None]
        image[where] = image[where] * (1 - share) + np.asarray(color, dtype=np.float32) * share

    if plan.marks == "dashes":
        paint((np.abs(d) < 0.06) & (s % 6.4 < (4.0 if rng.random() < 0.3 else 2.0)), white)
    elif plan.marks == "line":
        paint((np.abs(np.abs(d) - 0.12) < 0.06) & (s > -1), white)
    elif plan.marks == "zigzag":
        swing = np.abs(s % 4.0 - 2.0) * 0.3
        paint(np.abs(d - 0.5 * swing) < 0.07, white)
        for side in (-1, 1):
            paint(np.abs(d * side - (road_m - 0.5) + swing) < 0.07, white)
    if plan.double_yellow and plan.marks != "zigzag":
        paint((np.abs(np.abs(np.abs(d) - (road_m - 0.35)) - 0.09) < 0.05) & (s > -1), yellow)
    for start in plan.junction_m:
        if start is not None and plan.marks != "none":
            outward = -d if start == plan.junction_m[0] else d
            mouth = (s > start) & (s < start + JUNCTION_M)
            paint((np.abs(outward - road_m - 0.1) < 0.12) & mouth & (s % 1.0 < 0.6), white)
    if plan.crossing_m is not None:
        offset = (s - plan.crossing_m) % PERIOD_M
        paint((offset < 2.6) & (np.abs(d) < road_m - 0.3) & (d % 1.2 < 0.6), white)
    for _ in range(int(rng.integers(0, 4))):
        at, way = float(rng.uniform(0, PERIOD_M - 8)), float(rng.choice([-1.0, 1.0]))
        centre = way * road_m / 2
        shaft = (np.abs(d - centre) < 0.09) & (s > at) & (s < at + 3)
        tip = at + 4.2 if way < 0 else at - 1.2
        head = (np.abs(d - centre) < 0.32 * np.abs(s - tip)) & (np.abs(s - tip) < 1.2)
        head &= (s < tip) if way < 0 else (s > tip)
        paint(shaft | head, white)


def _illumination(rng: np.random.Generator, light: Light, plan: GroundPlan, s: F32, d: F32) -> F32:
    """Skylight everywhere (less at the walls), sun where neither roofs nor branches are in its way."""
    h, w = d.shape[0], s.shape[1]
    toward = light.sun[0]
    edge = np.where(d < 0, -d - plan.pavement_m[0], d - plan.pavement_m[1])
    sky = light.ambient * (0.8 + 0.25) * (1 - 0.25 * np.exp(-np.maximum(-edge, 0) / 1.2))
    if light.sun_strength < 0.3:
        return np.broadcast_to(sky, (h, w)).astype(np.float32) * (1 + 0.03 * fractal(rng, h, w, [(3, 10, 1.0)]))
    # Roofs: steps of random height throw shadows across the street from the sun's side.
    roofs = np.repeat(rng.uniform(2.0, 11.0, 16), w // 16 + 1)[:w] * (rng.random() * 0.6 + 0.5)
    reach = roofs * abs(toward) / light.sun[1]
    wall = plan.pavement_m[1] if toward > 0 else plan.pavement_m[0]
    distance = (wall - d) if toward > 0 else (wall + d)
    clear = np.clip((distance - reach[None, :]) * 1.5 + 0.5, 0, 1)
    branches = fractal(rng, h, w, [(14, 48, 0.6), (40, 200, 0.5), (100, 500, 0.35)])
    canopy = np.clip(fractal(rng, 1, w, [(1, 9, 1.0)])[0] - 0.2, 0, 1)
    dapple = 1 - np.clip(canopy[None, :] * 1.4, 0, 0.85) * (branches > -0.1)
    return np.asarray(sky + light.sun_strength * light.sun[1] * clear * dapple, dtype=np.float32)
