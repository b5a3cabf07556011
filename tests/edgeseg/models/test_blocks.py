from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.models.blocks import (
    Downsampler,
    channel_shuffle,
    cropped,
    factorised_conv,
    grid_pool,
    halve,
    unpool,
    window_argmax,
)


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


def test_channels_are_shuffled_as_pytorch_does():
    features = torch.rand(2, 12, 3, 5)
    for groups in (2, 3, 4):
        torch.testing.assert_close(channel_shuffle(features, groups), F.channel_shuffle(features, groups))


@pytest.mark.parametrize("size", [(8, 12), (9, 13)])
def test_half_the_size_is_rounded_up_by_every_means(size):
    images = torch.rand(1, 3, *size)
    half = (-(-size[0] // 2), -(-size[1] // 2))
    assert halve(images).shape[2:] == half
    assert Downsampler(3, 16)(images).shape == (1, 16, *half)


def test_a_downsampler_keeps_the_maxima_of_its_input():
    images = torch.rand(1, 3, 8, 12)
    block = Downsampler(3, 16).eval()
    torch.testing.assert_close(block(images)[:, 13:], F.max_pool2d(images, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("columns_first", [True, False])
def test_a_factorised_convolution_sees_a_dilated_square(columns_first):
    torch.manual_seed(0)
    image = torch.zeros(1, 4, 11, 11)
    image[..., 5, 5] = 1
    conv = factorised_conv(4, 3, columns_first=columns_first).eval()
    changed = (conv(image) - conv(torch.zeros_like(image))).abs().sum(dim=1)[0].nonzero()
    assert {tuple(where) for where in changed.tolist()} == {(y, x) for y in (2, 5, 8) for x in (2, 5, 8)}


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
