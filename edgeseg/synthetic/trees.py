"""Trees as pictures that face the camera: bare, leafy and evergreen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeseg.synthetic.canvas import U8, Texture
from edgeseg.synthetic.facades import pick
from edgeseg.synthetic.light import Light
from edgeseg.synthetic.noise import F32, fractal, grain, to_u8

_H, _W = 512, 448


@dataclass(frozen=True)
class Tree:
    """A picture and where its label holds.

    Attributes:
        texture: (h, w, 4), colours multiplied by opacity.
        area: (h, w), 255 where the label is tree. A bare crown counts as a whole, sky between its twigs
            included, as the annotators of CamVid drew it.
        aspect: width over height.
    """

    texture: Texture
    area: Texture
    aspect: float


def draw_tree(rng: np.random.Generator, kind: str, light: Light) -> Tree:
    """A tree of the kind ``bare``, ``leafy`` or ``evergreen`` under this light."""
    shade = light.ambient * 0.95 + 0.35 * light.sun_strength
    bark = np.asarray(pick(rng, ((62, 54, 46), (74, 68, 58), (50, 46, 42)), 6), dtype=np.float32) * shade
    wood = np.zeros((_H, _W), dtype=np.uint8)
    if kind == "bare":
        _branches(rng, wood, depth=8)
        opacity = cv2.GaussianBlur(wood, (0, 0), 0.7)
        reach = cv2.morphologyEx(wood, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))
        area = cv2.medianBlur(reach, 7)
        tone = 1 + fractal(rng, _H, _W, [(20, 20, 0.15), (90, 90, 0.1)])
        sunward = np.linspace(1 - 0.25 * light.sun[0], 1 + 0.25 * light.sun[0], _W, dtype=np.float32)
        color = bark * (tone * sunward)[..., None]
    else:
        _branches(rng, wood, depth=4)
        density, lump = _foliage(rng, kind)
        leaf_colors = ((84, 88, 60), (70, 80, 54), (98, 94, 66), (104, 92, 66))
        leaf = np.asarray(pick(rng, ((36, 46, 34), (44, 54, 38)) if kind == "evergreen" else leaf_colors), np.float32)
        sunward = lump * 0.55 + 0.3 * light.sun_strength * np.sign(light.sun[0]) * np.linspace(-1, 1, _W)[None, :]
        tone = np.clip(0.95 + sunward + grain(rng, _H, _W, 0.16), 0.2, 2.2).astype(np.float32)
        leaves = np.clip(density * 220, 0, 255)
        color = leaf * shade * 1.15 * tone[..., None]
        opacity = np.maximum(to_u8(leaves), wood)
        bare_wood = (wood > 0) & (leaves < 120)
        color[bare_wood] = bark * 0.9
        area = cv2.medianBlur(to_u8((opacity > 100) * np.float32(255)), 3)
    opacity = np.asarray(opacity, dtype=np.uint8)
    premultiplied = to_u8(np.clip(color, 0, 255) * (opacity[..., None].astype(np.float32) / 255))
    return Tree(Texture(np.dstack([premultiplied, opacity])), Texture(np.asarray(area, dtype=np.uint8)), _W / _H)


def _branches(rng: np.random.Generator, wood: U8, depth: int) -> None:
    """Grow a trunk and its forks into the picture."""
    stack = [(_W / 2, float(_H), -np.pi / 2 + rng.normal(0, 0.03), _H * 0.3, 16.0, depth)]
    while stack:
        x, y, angle, length, thick, left = stack.pop()
        bend = angle + rng.normal(0, 0.1)
        x1, y1 = x + np.cos(bend) * length, y + np.sin(bend) * length
        start, end = (round(x * 16), round(y * 16)), (round(x1 * 16), round(y1 * 16))
        cv2.line(wood, start, end, 255, max(1, round(thick)), cv2.LINE_AA, 4)
        if left == 0:
            continue
        for _ in range(2 if rng.random() < 0.7 else 3):
            spread = rng.normal(0, 0.42) + rng.choice([-0.22, 0.22])
            upward = 0.15 * np.sin(-np.pi / 2 - bend)
            at = rng.uniform(0.6, 1.0)
            stack.append(
                (
                    x + (x1 - x) * at, y + (y1 - y) * at, bend + spread + upward,
                    length * rng.uniform(0.62, 0.88), thick * 0.66, left - 1,
                )
            )  # fmt: skip


def _foliage(rng: np.random.Generator, kind: str) -> tuple[F32, F32]:
    """How much leaf there is (0..1 and beyond), and lumps of light and shade (-1..1)."""
    yy, xx = np.mgrid[:_H, :_W].astype(np.float32)
    mass = np.full((_H, _W), -1.0, dtype=np.float32)
    lump = np.zeros((_H, _W), dtype=np.float32)
    for _ in range(70):
        if kind == "evergreen":
            t = rng.random() ** 0.7
            cx, cy = _W / 2 + rng.normal(0, 0.13) * _W * (0.25 + t), _H * (0.04 + 0.84 * t)
            radius = _W * rng.uniform(0.06, 0.12) * (0.6 + t)
        else:
            a, r = rng.uniform(0, 2 * np.pi), rng.random() ** 0.5
            cx, cy = _W * (0.5 + 0.33 * r * np.cos(a)), _H * (0.37 + 0.28 * r * np.sin(a))
            radius = _W * rng.uniform(0.07, 0.16)
        blob = 1 - np.sqrt((xx - cx) ** 2 + ((yy - cy) * 1.15) ** 2) / np.float32(radius)
        closer = blob > mass
        mass = np.where(closer, blob, mass)
        lump = np.where(closer, (cy - yy) / np.float32(radius) * 0.6, lump)
    ragged = fractal(rng, _H, _W, [(18, 16, 0.18), (50, 44, 0.22), (130, 115, 0.22)])
    density = np.clip((mass + ragged + 0.12) * 3.0, 0, 1.6)
    return density, np.clip(lump, -1, 1) * np.float32(0.7) + ragged * np.float32(0.6)
