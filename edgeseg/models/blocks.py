"""Building blocks that more than one network shares."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def scaled(channels: int, width: float) -> int:
    """Channels times a width multiplier, to the nearest multiple of 8 and at least 8, as MobileNet counts them."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    *,
    dilation: int = 1,
    activation: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution of the same padding without bias, batch normalisation, and what ``activation`` makes, if anything."""
    padding = dilation * (kernel // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, *, dilation: int = 1
) -> nn.Sequential:
    """Convolution of the same padding without bias, batch normalisation, ReLU."""
    size = (in_channels, out_channels, kernel, stride, groups)
    return conv_bn(*size, dilation=dilation, activation=lambda: nn.ReLU(inplace=True))


def separable_conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Depthwise separable convolution: 3x3 depthwise, then 1x1 pointwise, each with BN and ReLU."""
    return nn.Sequential(
        conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels),
        conv_bn_relu(in_channels, out_channels, 1),
    )


def resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of (N, C, H, W) to (height, width), pixel centres aligned as edgeseg's own kernel aligns them."""
    return F.interpolate(features, size, mode="bilinear", align_corners=False)


def grid_pool(features: Tensor, bins: int) -> Tensor:
    """Average pooling of (N, C, H, W) to (N, C, bins, bins) with one fixed window and stride.

    Adaptive pooling uses windows of several sizes where ``bins`` does not divide the size, which neither ONNX nor
    TensorRT can say. One window of ``size - (bins - 1) * stride`` pixels covers everything too, and equals adaptive
    pooling where ``bins`` divides the size. Features smaller than ``bins`` are pooled to what there is.
    """
    height, width = features.shape[-2:]
    bins_y, bins_x = min(bins, height), min(bins, width)
    stride_y, stride_x = height // bins_y, width // bins_x
    window = (height - (bins_y - 1) * stride_y, width - (bins_x - 1) * stride_x)
    return F.avg_pool2d(features, window, (stride_y, stride_x))


class PyramidPooling(nn.Module):
    """The pyramid pooling module of PSPNet: averages over 1, 2, 3 and 6 bins beside the features themselves."""

    def __init__(self, channels: int, out_channels: int, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.bins = bins
        self.branches = nn.ModuleList(conv_bn_relu(channels, channels // len(bins), 1) for _ in bins)
        self.project = conv_bn_relu(2 * channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H, W)."""
        size = (x.shape[2], x.shape[3])
        pyramid = [
            resize(branch(grid_pool(x, bins)), size) for bins, branch in zip(self.bins, self.branches, strict=True)
        ]
        y: Tensor = self.project(torch.cat([x, *pyramid], dim=1))
        return y


def biased_conv_bn_relu(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """As :func:`conv_bn_relu`, with the bias before batch normalisation that some reference implementations keep."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def bn_relu_conv(
    in_channels: int, out_channels: int, kernel: int = 1, groups: int = 1, *, bias: bool = False
) -> nn.Sequential:
    """Batch normalisation, ReLU, and convolution of the same padding, in this order (He 2016, arXiv:1603.05027)."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=bias),
    )


class PooledScales(nn.Module):
    """Features, and averages over ever more of them, each after a 1x1 convolution (DDRNet, arXiv:2101.06085, Fig. 5).

    The windows are 5, 9 and 17 pixels wide at strides of 2, 4 and 8, then the whole; zeros beyond the border count.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.own = bn_relu_conv(in_channels, out_channels)
        self.pooled = nn.ModuleList(bn_relu_conv(in_channels, out_channels) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, in, H, W) to (N, out, H, W) of its own, and of the four averages, resized to it."""
        averages = [*(F.avg_pool2d(x, 2 * stride + 1, stride, stride) for stride in (2, 4, 8)), grid_pool(x, 1)]
        size = (x.shape[2], x.shape[3])
        return self.own(x), [resize(conv(one), size) for conv, one in zip(self.pooled, averages, strict=True)]
