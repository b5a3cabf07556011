"""Values of another size go where the pixels of their picture go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeseg.train.config import TrainConfig
from edgeseg.train.geometry import Geometry, grid_size

SIZE = (64, 96)


def geometry(**settings):
    return Geometry(TrainConfig(**{"data": Path(), "height": 64, "width": 96, **settings}))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8])
def test_the_grid_is_that_of_the_losses(stride):
    assert grid_size((65, 97), stride) == torch.zeros(65, 97)[stride // 2 :: stride, stride // 2 :: stride].shape


@pytest.mark.parametrize("settings", [{}, {"crop_height": 40, "crop_width": 56}, {"loss_stride": 4, "aspect": 2.0}])
@pytest.mark.parametrize("size", [SIZE, (16, 24), (9, 13)])
def test_planes_of_any_size_show_what_the_picture_shows_there(settings, size):
    """A ramp is the same ramp at any size, so that each point tells where in the picture it is."""
    where = geometry(**settings)
    y, x = (np.linspace(0.5 / n, 1 - 0.5 / n, n) for n in size)
    ramps = np.stack([np.tile(200 * x, (size[0], 1)), np.tile(200 * y[:, None], (1, size[1]))])
    planes = ramps.round().astype(np.uint8)
    height, width = where.grid_size
    for seed in range(10):
        matrix = where.draw(SIZE, torch.Generator().manual_seed(seed))
        found = where.planes(planes, SIZE, matrix)
        inside = where.inside(SIZE, matrix).astype(bool)
        assert found.shape[1:] == inside.shape == (height, width)
        # the centre of each cell of the grid, as pixels of the crop, back to the picture
        crop_height, crop_width = where.crop_size
        across = (np.arange(width) + 0.5) * crop_width / width - 0.5
        down = (np.arange(height) + 0.5) * crop_height / height - 0.5
        in_picture = np.linalg.inv(np.vstack([matrix, [0, 0, 1]])) @ np.stack(
            [np.tile(across, height), np.repeat(down, width), np.ones(height * width)]
        )
        share_x, share_y = ((in_picture[i] + 0.5) / SIZE[1 - i] for i in (0, 1))
        for plane, share, count in zip(found, (share_x, share_y), (size[1], size[0]), strict=True):
            rim = 0.5 / count  # nearer to the border than the centre of a value, that value is repeated
            well = inside & (share > rim).reshape(inside.shape) & (share < 1 - rim).reshape(inside.shape)
            assert well.any()
            assert np.abs(plane[well] - 200 * share.reshape(inside.shape)[well]).max() <= 2


@pytest.mark.parametrize("settings", [{"aspect": 1.0}, {"crop_height": 32, "crop_width": 48}])
def test_how_much_of_a_picture_is_shown_is_what_its_pixels_say(settings):
    where = geometry(**settings)
    shown = []
    for seed in range(20):
        matrix = where.draw(SIZE, torch.Generator().manual_seed(seed))
        y, x = np.mgrid[: SIZE[0], : SIZE[1]].reshape(2, -1)
        across, down = matrix @ np.stack([x, y, np.ones(x.size)])
        height, width = where.crop_size
        pixels = (across > -0.5) & (across < width - 0.5) & (down > -0.5) & (down < height - 0.5)
        shown.append(where.shown(SIZE, matrix))
        assert shown[-1] == pytest.approx(pixels.mean(), abs=0.03)
    assert min(shown) < 0.7
    assert max(shown) > 0.85


def test_inside_is_where_there_may_be_labels():
    where = geometry(scale_min=0.5, scale_max=0.7, loss_stride=1)
    for seed in range(10):
        matrix = where.draw(SIZE, torch.Generator().manual_seed(seed))
        labels = where.labels(torch.zeros(SIZE, dtype=torch.uint8), matrix)
        assert np.array_equal(where.inside(SIZE, matrix) == 1, labels != 255)
