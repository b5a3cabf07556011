from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeseg.models.blocks import grid_pool


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_grid_pool_is_adaptive_pooling_where_the_bins_divide_the_size(bins):
    features = torch.rand(2, 3, 12, 18)
    torch.testing.assert_close(grid_pool(features, bins), F.adaptive_avg_pool2d(features, bins))


@pytest.mark.parametrize("size", [(12, 15), (13, 17), (11, 6), (7, 31)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_grid_pool_sees_every_pixel(size, bins):
    features = torch.rand(1, 2, *size, requires_grad=True)
    pooled = grid_pool(features, bins)
    assert pooled.shape == (1, 2, bins, bins)
    pooled.sum().backward()
    assert (features.grad > 0).all()


def test_grid_pool_averages():
    torch.testing.assert_close(grid_pool(torch.full((1, 1, 13, 17), 0.7), 6), torch.full((1, 1, 6, 6), 0.7))


def test_grid_pool_of_fewer_pixels_than_bins_is_those_pixels():
    features = torch.rand(1, 2, 2, 3)
    torch.testing.assert_close(grid_pool(features, 6), features)
