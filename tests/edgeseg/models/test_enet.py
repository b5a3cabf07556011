"""ENet's pooling and unpooling against PyTorch's own, which ONNX cannot express."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.models.enet import unpool, window_argmax


@pytest.mark.parametrize("levels", [1000, 2], ids=["distinct", "ties"])
def test_pooling_and_unpooling_equal_those_with_indices(levels):
    x = torch.randint(0, levels, (2, 3, 8, 12), generator=torch.Generator().manual_seed(0)).float()
    expected, indices = nn.MaxPool2d(2, return_indices=True)(x)
    maxima, mask = window_argmax(x)
    torch.testing.assert_close(maxima, expected)
    values = torch.rand_like(maxima)
    torch.testing.assert_close(unpool(values, mask), nn.MaxUnpool2d(2)(values, indices))


def test_gradients_flow_to_the_maxima_alone():
    x = torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]], requires_grad=True)
    maxima, mask = window_argmax(x)
    unpool(3 * maxima, mask).sum().backward()
    assert x.grad.tolist() == [[[[0.0, 0.0], [3.0, 0.0]]]]
