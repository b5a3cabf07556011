"""The sky, and the far trees and roofs that stand at the end of every street, as one panorama."""

from __future__ import annotations

import numpy as np

from edgeseg.synthetic import classes
from edgeseg.synthetic.canvas import U8
from edgeseg.synthetic.light import Light, mix
from edgeseg.synthetic.noise import F32, fractal, to_u8


def panorama(rng: np.random.Generator, light: Light, height: int, width: int, focal_px: float) -> U8:
    """(height, width, 4) with labels, its bottom row at the horizon; it repeats after ``width``.

    Distant skyline rises one to three degrees, so that houses come out of it, not out of the air.
    """
    up = np.linspace(1.0, 0.0, height, dtype=np.float32)[:, None, None]
    zenith, horizon = np.asarray(light.zenith, dtype=np.float32), np.asarray(light.horizon, dtype=np.float32)
    image: F32 = horizon + (zenith - horizon) * up**0.8 + np.zeros((1, width, 1), dtype=np.float32)
    # Clouds get flatter and smaller towards the horizon: sample a flat deck with a perspective stretch of its rows.
    deck = fractal(rng, 512, width, [(3, 5, 0.6), (8, 12, 0.4), (20, 30, 0.22), (50, 80, 0.12), (120, 200, 0.07)])
    depth = 1.0 / (np.linspace(1.0, 0.0, height) + 0.25)
    row = np.clip((depth - depth.min()) / (depth.max() - depth.min()) * 511, 0, 511).astype(int)
    cloud = deck[row]
    cover = {"overcast": -0.5, "dusk": -0.2, "glare": 0.2, "sunny": rng.uniform(0.3, 0.9)}[light.mood]
    amount = np.clip((cloud - cover) * 1.3, 0, 1)[..., None]
    if light.mood in ("sunny", "glare"):
        image += (np.asarray((252, 253, 253), dtype=np.float32) - image) * amount * 0.85
    else:
        depth_of_gray = 0.3 if light.mood == "dusk" else rng.uniform(0.02, 0.1)
        image *= 1 - depth_of_gray * amount
        image *= 1 + (0.05 if light.mood == "dusk" else 0.02) * cloud[..., None]
    out = np.dstack([to_u8(image), np.full((height, width), classes.SKY, dtype=np.uint8)])
    _skyline(rng, light, out, focal_px)
    return out


def _skyline(rng: np.random.Generator, light: Light, out: U8, focal_px: float) -> None:
    height, width = out.shape[:2]
    degree = focal_px * np.pi / 180
    columns = np.arange(width)
    rows = np.arange(height)[:, None]
    crowns = 2.2 + fractal(rng, 1, width, [(1, 8, 0.35), (1, 40, 0.3), (1, 160, 0.2), (1, width // 5, 0.12)])[0]
    texture = fractal(rng, height, width, [(height // 6 + 1, width // 6, 0.16), (height // 2, width // 2, 0.12)])
    green = np.asarray(mix((70, 68, 56), light.haze, 0.55), dtype=np.float32) * (0.4 + 0.6 * light.ambient)
    tree = rows >= height - np.clip(crowns, 1.0, 4.5) * degree
    out[tree, :3] = to_u8(green * (1 + texture[tree])[:, None])
    out[tree, 3] = classes.TREE
    for _ in range(int(width / degree / 7)):
        x0, wide = int(rng.integers(width)), int(rng.uniform(1.0, 4.0) * degree)
        top = height - int(rng.uniform(1.6, 3.3) * degree)
        wall = np.asarray(mix((110, 98, 84), light.haze, 0.5)) * (0.4 + 0.6 * light.ambient) * rng.uniform(0.75, 1.15)
        inside = columns[(columns - x0) % width < wide]
        out[top:, inside, :3] = to_u8(wall.astype(np.float32) * (1 + 0.5 * texture[top:, inside, None]))
        out[top:, inside, 3] = classes.BUILDING
