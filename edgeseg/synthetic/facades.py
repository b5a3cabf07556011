"""Textures of what stands along the street: walls, fronts with windows and shops, roofs, fences.

Each function returns (h, w, 4) uint8 at ``PX_PER_M`` texels a metre, unlit; the layout lights them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeseg.synthetic.canvas import U8
from edgeseg.synthetic.light import Color, mix
from edgeseg.synthetic.noise import F32, fractal, grain, opaque, to_u8

PX_PER_M = 36

BRICKS: tuple[Color, ...] = ((154, 138, 112), (128, 108, 90), (116, 80, 68), (164, 150, 122), (98, 88, 78))
RENDERS: tuple[Color, ...] = ((214, 210, 200), (188, 184, 172), (196, 186, 158), (140, 138, 134), (112, 52, 50))
FRAMES: tuple[Color, ...] = ((222, 222, 216), (200, 198, 190), (60, 62, 64), (44, 48, 54))
FASCIAS: tuple[Color, ...] = (
    (30, 36, 62), (24, 52, 44), (120, 28, 30), (28, 28, 30), (210, 206, 196), (34, 74, 128), (92, 60, 40),
    (186, 120, 30)
)  # fmt: skip


def pick(rng: np.random.Generator, colors: tuple[Color, ...], spread: float = 10.0) -> Color:
    """One of the colours, a little changed."""
    r, g, b = colors[int(rng.integers(len(colors)))]
    common, own = rng.normal(0, spread), rng.normal(0, spread / 3, 3)
    return (
        float(np.clip(r + common + own[0], 5, 250)),
        float(np.clip(g + common + own[1], 5, 250)),
        float(np.clip(b + common + own[2], 5, 250)),
    )


@dataclass(frozen=True)
class Wall:
    """Size and stuff of a wall: brick in courses, else render."""

    width_m: float
    height_m: float
    color: Color
    brick: bool


def _bare(rng: np.random.Generator, wall: Wall) -> F32:
    """A bare wall as float colours, with courses of brick or blotches of render."""
    h, w = max(int(wall.height_m * PX_PER_M), 16), max(int(wall.width_m * PX_PER_M), 16)
    tone = fractal(rng, h, w, [(2, 3, 0.05), (h // 40 + 1, w // 40 + 1, 0.05), (h // 9 + 1, w // 9 + 1, 0.035)])
    tone += grain(rng, h, w, 0.04)
    streaks = fractal(rng, h, w, [(1, w // 6 + 1, 0.035)])
    image = np.empty((h, w, 3), dtype=np.float32)
    if wall.brick:
        course, length = 4, 11
        rows, columns = np.arange(h) // course, np.arange(w)[None, :]
        shifted = (columns + (rows % 2)[:, None] * (length // 2)) // length
        blocks = rng.normal(0, 0.11, (int(rows.max()) + 1, int(shifted.max()) + 1)).astype(np.float32)
        tone += blocks[rows[:, None], shifted]
        tone[np.arange(h) % course == 0] += 0.07
    light = (1.0 + tone + streaks)[..., None]
    image[:] = np.asarray(wall.color, dtype=np.float32) * light
    damp = np.clip(1 - (h - np.arange(h)) / (0.9 * PX_PER_M), 0, 1) * 0.28
    image *= (1 - damp.astype(np.float32))[:, None, None]
    return image


def bare_wall(rng: np.random.Generator, wall: Wall) -> U8:
    """A wall without openings."""
    return opaque(_bare(rng, wall))


def front(rng: np.random.Generator, wall: Wall, style: str) -> U8:
    """A house front: ``house``, ``shop`` (shop window below, flats above) or ``office`` (bands of glass)."""
    image, color = _bare(rng, wall), wall.color
    h, w = image.shape[:2]
    frame = pick(rng, FRAMES)
    ground_m = 3.3 if style == "shop" else 0.0
    if style == "office":
        _office(rng, image, frame)
    else:
        storeys = max(1, round((wall.height_m - ground_m - 0.3) / 2.9))
        storey_px = (h - ground_m * PX_PER_M - 0.25 * PX_PER_M) / storeys
        window_w, window_h = rng.uniform(0.9, 1.5), rng.uniform(1.3, 1.75)
        count = max(1, round(wall.width_m / rng.uniform(2.3, 3.4)))
        lintel = mix(color, (215, 210, 200), 0.75) if rng.random() < 0.6 else mix(color, (40, 30, 25), 0.4)
        door_at = int(rng.integers(count)) if style == "house" else -1
        for storey in range(storeys):
            top = 0.25 * PX_PER_M + storey * storey_px + 0.5 * PX_PER_M
            for i in range(count):
                middle = (i + 0.5) * w / count
                if storey == storeys - 1 and i == door_at:
                    _door(rng, image, middle, h)
                    continue
                half = window_w * PX_PER_M / 2
                box = (middle - half, top, middle + half, top + window_h * PX_PER_M)
                _window(rng, image, box, frame, lintel)
            if rng.random() < 0.25 and storey:
                y = int(0.25 * PX_PER_M + storey * storey_px)
                image[y - 3 : y + 3] = mix(color, (220, 215, 205), 0.6)
        if style == "shop":
            _shop(rng, image, int(h - ground_m * PX_PER_M))
    image[: int(0.22 * PX_PER_M)] *= 0.62
    if rng.random() < 0.7:
        x = int(rng.choice([3, w - 6]))
        image[:, x : x + 3] = np.asarray((52, 50, 48)) * (0.9 + 0.2 * rng.random())
    return opaque(image)


def _glass(rng: np.random.Generator, height: int, width: int) -> F32:
    """A pane: dark inside, with the sky or the opposite houses in it."""
    reflect = rng.uniform(10, 75) * rng.choice([0.3, 1.0])
    ramp = np.linspace(1.0, 0.25, height, dtype=np.float32)[:, None, None] ** 1.5
    pane = np.asarray((30, 34, 38), dtype=np.float32) * rng.uniform(0.6, 1.5) + ramp * reflect * np.asarray(
        (0.92, 1.0, 1.06), dtype=np.float32
    )
    pane = np.repeat(pane, width, axis=1)
    pane += fractal(rng, height, width, [(3, 2, 5.0), (height // 6 + 1, width // 6 + 1, 3.0)])[..., None]
    if rng.random() < 0.35:
        pane[:, : width // 4] += rng.uniform(15, 70)
        pane[:, -(width // 4) :] += rng.uniform(15, 70)
    elif rng.random() < 0.3:
        pane[: int(height * rng.uniform(0.2, 0.6))] += rng.uniform(30, 90)
    return pane


def _window(
    rng: np.random.Generator, image: F32, box: tuple[float, float, float, float], frame: Color, lintel: Color
) -> None:
    h, w = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in box)
    x0, y0, x1, y1 = max(x0, 2), max(y0, 2), min(x1, w - 2), min(y1, h - 2)
    if x1 - x0 < 10 or y1 - y0 < 10:
        return
    cv2.rectangle(image, (x0 - 4, y0 - 7), (x1 + 4, y0), lintel, -1)
    image[y0:y1, x0:x1] = _glass(rng, y1 - y0, x1 - x0)
    cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), frame, 2)
    cv2.line(image, (x0, (y0 + y1) // 2), (x1 - 1, (y0 + y1) // 2), frame, 2)
    for i in range(1, int(rng.choice([1, 2, 3]))):
        x = x0 + i * (x1 - x0) // 2
        cv2.line(image, (x, y0), (x, y1 - 1), frame, 1)
    image[y0 + 2 : y0 + 5, x0 + 2 : x1 - 2] *= 0.55
    cv2.rectangle(image, (x0 - 3, y1), (x1 + 3, y1 + 3), mix(lintel, (230, 228, 220), 0.4), -1)
    image[y1 + 4 : y1 + 9, x0 - 3 : x1 + 3] *= 0.72


def _door(rng: np.random.Generator, image: F32, middle: float, bottom: int) -> None:
    half, top = int(0.5 * PX_PER_M), bottom - int(2.2 * PX_PER_M)
    x0, x1 = int(middle) - half, int(middle) + half
    color = pick(rng, ((40, 44, 60), (90, 28, 26), (30, 54, 40), (210, 208, 200), (60, 42, 30)))
    cv2.rectangle(image, (x0 - 4, top - 4), (x1 + 4, bottom), (205, 200, 190), -1)
    cv2.rectangle(image, (x0, top), (x1, bottom), color, -1)
    cv2.rectangle(image, (x0 + 4, top + 5), (x1 - 4, top + 22), (60, 66, 72), -1)
    cv2.rectangle(image, (x0 + 5, top + 34), (x1 - 5, bottom - 8), mix(color, (0, 0, 0), 0.3), 1)


def _shop(rng: np.random.Generator, image: F32, top: int) -> None:
    h, w = image.shape[:2]
    fascia = pick(rng, FASCIAS)
    letters = (230, 226, 214) if sum(fascia) < 330 else (50, 40, 46)
    y_glass = top + int(0.7 * PX_PER_M)
    stall = h - int(rng.uniform(0.1, 0.6) * PX_PER_M)
    image[top:h] = np.asarray(mix(fascia, (70, 66, 60), 0.35), dtype=np.float32)
    cv2.rectangle(image, (0, top), (w, y_glass), fascia, -1)
    cv2.rectangle(image, (0, top), (w, top + 3), mix(fascia, (230, 230, 225), 0.5), -1)
    x, size = w * rng.uniform(0.1, 0.3), int(rng.uniform(8, 14))
    baseline = (top + y_glass) // 2 + size // 2
    while x < w * rng.uniform(0.7, 0.9):
        x += size * 0.85
        if rng.random() < 0.15:
            continue
        dx, dy = int(rng.integers(2, size * 3 // 4 + 1)), int(rng.integers(size // 2, size + 1))
        cv2.line(image, (int(x), baseline), (int(x), baseline - dy), letters, 2)
        cv2.line(image, (int(x), baseline - int(rng.integers(dy))), (int(x) + dx, baseline - dy), letters, 2)
    panes = max(2, int(w / PX_PER_M / rng.uniform(1.3, 2.4)))
    door = int(rng.integers(panes))
    for i in range(panes):
        x0, x1 = i * w // panes + 4, (i + 1) * w // panes - 4
        bottom = h - 3 if i == door else stall
        pane = _glass(rng, bottom - y_glass - 3, x1 - x0)
        goods = fractal(rng, pane.shape[0], pane.shape[1], [(14, 20, 1.0)]) > 1.1
        goods[: pane.shape[0] // 3] = False
        pane[goods] += np.asarray(pick(rng, FASCIAS, 30), dtype=np.float32) * 0.4
        if rng.random() < 0.4:
            pane[4:9, 6:-6] = (250, 236, 190)
        image[y_glass + 3 : bottom, x0:x1] = pane
        if rng.random() < 0.25:
            c = pick(rng, FASCIAS, 30)
            y = y_glass + int(rng.integers(10, 40))
            cv2.rectangle(image, (x0 + 5, y), (x0 + 5 + (x1 - x0) // 2, y + int(rng.integers(14, 34))), c, -1)
    image[y_glass : y_glass + 6] *= 0.45
    image[top:h] *= (1 + grain(rng, h - top, w, 0.04))[..., None]


def _office(rng: np.random.Generator, image: F32, frame: Color) -> None:
    h, w = image.shape[:2]
    storeys = max(1, round(h / PX_PER_M / 3.3))
    storey_px = h / storeys
    bays = max(2, round(w / PX_PER_M / rng.uniform(1.2, 2.2)))
    for storey in range(storeys):
        y0 = int(storey * storey_px + rng.uniform(0.6, 0.9) * PX_PER_M)
        y1 = int((storey + 1) * storey_px - (2 if storey == storeys - 1 else 0.25 * PX_PER_M))
        for bay in range(bays):
            x0, x1 = bay * w // bays + 2, (bay + 1) * w // bays - 2
            image[y0:y1, x0:x1] = _glass(rng, y1 - y0, x1 - x0)
            cv2.rectangle(image, (x0, y0), (x1, y1), frame, 2)


def roof(rng: np.random.Generator, width_m: float, color: Color) -> U8:
    """Rows of tiles, 4 m from ridge to eaves."""
    h, w = 4 * PX_PER_M, max(int(width_m * PX_PER_M), 16)
    tone = fractal(rng, h, w, [(3, 6, 0.08), (h // 8, w // 8 + 1, 0.06)]) + grain(rng, h, w, 0.05)
    tone[np.arange(h) % 9 < 2] -= 0.16
    return opaque(np.asarray(color, dtype=np.float32) * (1 + tone)[..., None])


FENCE_M = 8.0


def railings(rng: np.random.Generator) -> U8:
    """Iron bars with rails, FENCE_M long and 1.1 m high; clear between the bars."""
    h, w = int(1.1 * 60), int(FENCE_M * 60)
    image = np.zeros((h, w, 4), dtype=np.uint8)
    color = (*pick(rng, ((34, 36, 38), (120, 122, 122), (30, 44, 36), (150, 150, 146)), 8), 255)
    gap = int(rng.choice([8, 10, 12]))
    image[:, ::gap] = image[:, 1::gap] = image[:, 2::gap] = color
    image[:5] = image[-9:-4] = color
    for x in np.linspace(0, w - 7, 5).astype(int):
        image[:, x : x + 7] = color
    return image


def boards(rng: np.random.Generator) -> U8:
    """A close-boarded timber fence, FENCE_M long and 1.8 m high."""
    h, w = int(1.8 * 48), int(FENCE_M * 48)
    board = np.repeat(rng.normal(0, 0.12, w // 6 + 1), 6)[:w].astype(np.float32)
    tone = fractal(rng, h, w, [(2, w // 3, 0.07), (4, 9, 0.06)]) + board + grain(rng, h, w, 0.03)
    image = (
        np.asarray(pick(rng, ((104, 84, 62), (86, 78, 70), (120, 92, 60))), dtype=np.float32) * (1 + tone)[..., None]
    )
    image[:, ::6] *= 0.5
    image[:4] *= 1.25
    for x in np.linspace(0, w - 8, 5).astype(int):
        image[:, x : x + 6] *= 0.75
    return opaque(image)


def mesh(rng: np.random.Generator) -> U8:
    """A wire-mesh fence, FENCE_M long and 1.6 m high."""
    h, w = int(1.6 * 48), int(FENCE_M * 48)
    image = np.zeros((h, w, 4), dtype=np.uint8)
    color = (*pick(rng, ((110, 116, 112), (50, 70, 58), (84, 88, 90)), 8), 255)
    yy, xx = np.mgrid[:h, :w]
    image[((xx + yy) % 7 < 2) | ((xx - yy) % 7 < 2)] = color
    image[:3] = image[-3:] = color
    for x in np.linspace(0, w - 4, 4).astype(int):
        image[:, x : x + 4] = color
    return image


def hedge(rng: np.random.Generator) -> U8:
    """A clipped hedge, FENCE_M long and 1.5 m high, with an uneven top."""
    h, w = int(1.5 * 48), int(FENCE_M * 48)
    tone = fractal(rng, h, w, [(4, 20, 0.12), (h // 5, w // 5, 0.25), (h // 2, w // 2, 0.2)])
    base = np.asarray(pick(rng, ((58, 66, 40), (46, 58, 36), (74, 70, 48))), dtype=np.float32)
    image = base * np.clip(1 + tone + np.linspace(0.25, -0.4, h, dtype=np.float32)[:, None], 0.1, 2)[..., None]
    out = np.dstack([to_u8(image), np.full((h, w), 255, dtype=np.uint8)])
    top = 4 + fractal(rng, 1, w, [(1, 12, 2.0), (1, 60, 1.5)])[0]
    out[np.arange(h)[:, None] < top, 3] = 0
    return out


def light_texture(texture: U8, brightness: float) -> U8:
    """The texture under a brightness; opacity stays."""
    rgb = to_u8(texture[..., :3].astype(np.float32) * np.float32(brightness))
    return np.dstack([rgb, texture[..., 3]])
