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

    def __init__(
        self, channels: int, out_channels: int, bins: tuple[int, ...] = (1, 2, 3, 6), *, kernel: int = 1
    ) -> None:
        super().__init__()
        self.bins = bins
        self.branches = nn.ModuleList(conv_bn_relu(channels, channels // len(bins), 1) for _ in bins)
        self.project = conv_bn_relu(2 * channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H, W)."""
        size = (x.shape[2], x.shape[3])
        pyramid = [
            resize(branch(grid_pool(x, bins)), size) for bins, branch in zip(self.bins, self.branches, strict=True)
        ]
        y: Tensor = self.project(torch.cat([x, *pyramid], dim=1))
        return y


class GlobalAverage(nn.Module):
    """The average of the picture, (N, C, H, W) to (N, C, 1, 1).

    nn.AdaptiveAvgPool2d(1) is the same, and in an exported graph five operators more, which look up places.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return grid_pool(x, 1)


def atrous_separable_conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3 convolution with holes, then 1x1 pointwise with BN and ReLU, and nothing between them."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, 1, dilation, dilation, in_channels, bias=False),
        conv_bn_relu(in_channels, out_channels, 1),
    )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling as in DeepLab v3: 1x1, 3x3 of several rates, and the average of the picture.

    Chen 2017, arXiv:1706.05587, section 3.3 and Fig. 5; with depthwise separable convolutions Chen 2018,
    arXiv:1802.02611, section 3.1.

    Args:
        in_channels: of the features.
        out_channels: of each branch, and of what they are joined to.
        rates: dilation of each 3x3 convolution.
        separable: whether those are depthwise separable.
    """

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...], *, separable: bool = False) -> None:
        super().__init__()
        size = (in_channels, out_channels)
        atrous = [
            atrous_separable_conv(*size, rate) if separable else conv_bn_relu(*size, dilation=rate) for rate in rates
        ]
        self.branches = nn.ModuleList([conv_bn_relu(*size, 1), *atrous])
        self.whole = conv_bn_relu(*size, 1)
        self.project = nn.Sequential(conv_bn_relu((2 + len(rates)) * out_channels, out_channels, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        whole = resize(self.whole(grid_pool(x, 1)), (x.shape[2], x.shape[3]))
        y: Tensor = self.project(torch.cat([*(branch(x) for branch in self.branches), whole], dim=1))
        return y


def atrous_rates(output_stride: int) -> tuple[int, ...]:
    """The rates of ASPP that see as far at any output stride: 6, 12 and 18 at 16, twice as much at 8."""
    return tuple(16 * rate // output_stride for rate in (6, 12, 18))
