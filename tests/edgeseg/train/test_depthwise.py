"""Depthwise convolutions have PyTorch's gradients, and their own way to them in mixed precision on a CPU alone."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.models.registry import build
from edgeseg.train.depthwise import DepthwiseConv2d, DepthwiseConvolution, quicken


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((3, 3), (2, 2), (1, 1), (1, 1)),
        ((5, 5), (2, 2), (2, 2), (1, 1)),
        ((3, 3), (1, 1), (4, 4), (4, 4)),
        ((5, 3), (2, 1), (0, 1), (1, 2)),
        ((2, 2), (2, 2), (0, 0), (1, 1)),
        ((1, 1), (1, 1), (0, 0), (1, 1)),
    ],
)
@pytest.mark.parametrize("size", [(11, 14), (12, 13)])
def test_gradients_are_those_of_pytorch(kernel, stride, padding, dilation, size):
    torch.manual_seed(0)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, *kernel, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(x, weight, None, stride, padding, dilation, 4)
    gradient = torch.randn_like(expected)
    found = DepthwiseConvolution.apply(x, weight, stride, padding, dilation)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, weight), gradient), torch.autograd.grad(expected, (x, weight), gradient)
    )


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_in_bfloat16_they_are_near_the_exact_ones(kernel, stride):
    torch.manual_seed(0)
    x = torch.randn(2, 16, 30, 40, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(16, 1, kernel, kernel, requires_grad=True)
    settings = (stride, stride), (kernel // 2, kernel // 2), (1, 1)
    found = DepthwiseConvolution.apply(x, weight, *settings)
    gradient = torch.randn_like(found)
    exact_x = x.detach().double().requires_grad_()
    exact_weight = weight.detach().to(torch.bfloat16).double().requires_grad_()
    expected = F.conv2d(exact_x, exact_weight, None, *settings, 16)
    exact = torch.autograd.grad(expected, (exact_x, exact_weight), gradient.double())
    for ours, theirs in zip(torch.autograd.grad(found, (x, weight), gradient), exact, strict=True):
        assert torch.dist(ours.double(), theirs) < 0.01 * theirs.norm()


def _gradients(network: nn.Module, images: torch.Tensor, *, mixed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and all gradients in a row."""
    torch.manual_seed(1)  # of dropout
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        logits = network(images)
    logits.float().square().mean().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())
    return logits, torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", ["fast_scnn", "edgenet"])
def test_a_network_says_the_same_in_bfloat16_and_learns_as_well(name):
    torch.manual_seed(0)
    exact = build(name, 4).train()
    plain, quick = copy.deepcopy(exact), copy.deepcopy(exact)
    quicken(quick)
    assert sum(isinstance(module, DepthwiseConv2d) for module in quick.modules()) >= 10
    assert quick.state_dict().keys() == plain.state_dict().keys()
    images = torch.rand(2, 3, 64, 96)
    _, truth = _gradients(exact, images, mixed=False)
    plain_logits, plain_gradients = _gradients(plain, images, mixed=True)
    quick_logits, quick_gradients = _gradients(quick, images, mixed=True)
    torch.testing.assert_close(quick_logits, plain_logits)
    assert torch.dist(quick_gradients, truth) < 1.1 * torch.dist(plain_gradients, truth)


def _gradient_of(x: torch.Tensor, convolution: nn.Conv2d) -> str:
    return type(convolution(x).grad_fn).__name__


def test_it_is_taken_in_mixed_precision_alone():
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4))
    quicken(network)
    x = torch.rand(1, 4, 8, 8)
    assert "Convolution" in _gradient_of(x, network[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert "AddBackward" in _gradient_of(x, network[0])  # of the bias
        with torch.no_grad():
            assert network(x).dtype == torch.bfloat16
    assert network(x).dtype == torch.float32


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(4, 4, 3, padding=3, groups=4),
        nn.Conv2d(4, 4, 3, padding="same", groups=4),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=4),
    ],
    ids=str,
)
def test_others_stay_as_they_are(convolution):
    quicken(nn.Sequential(convolution))
    assert type(convolution) is nn.Conv2d
