from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.models.blocks import cropped, grid_pool, unpool, window_argmax


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


@pytest.mark.parametrize("size", [(8, 12), (7, 12), (8, 11), (7, 11), (1, 1)])
@pytest.mark.parametrize("levels", [1000, 2], ids=["distinct", "ties"])
def test_pooling_and_unpooling_equal_those_with_indices(size, levels):
    x = torch.randint(0, levels, (2, 3, *size), generator=torch.Generator().manual_seed(0)).float() - levels / 2
    expected, indices = nn.MaxPool2d(2, ceil_mode=True, return_indices=True)(x)
    maxima, mask = window_argmax(x)
    torch.testing.assert_close(maxima, expected)
    values = torch.rand_like(maxima)
    expected = nn.MaxUnpool2d(2)(values, indices, output_size=size)
    torch.testing.assert_close(cropped(unpool(values, mask), size), expected)


def test_gradients_flow_to_the_maxima_alone():
    x = torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]], requires_grad=True)
    maxima, mask = window_argmax(x)
    unpool(3 * maxima, mask).sum().backward()
    assert x.grad.tolist() == [[[[0.0, 0.0], [3.0, 0.0]]]]
