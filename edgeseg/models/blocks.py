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


def window_argmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of the 2x2 windows of (N, C, H, W), and a 0/1 mask (N, C, H/2, W/2, 4) of where they were.

    The mask says what MaxPool2d's indices say, in operations that ONNX and TensorRT both have. Half of an odd size is
    rounded up: what lies beyond repeats the last row and column, which come first where both are the maximum.
    """
    if x.shape[2] % 2 or x.shape[3] % 2:
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
    maxima, position = windows.max(dim=-1)
    return maxima, (position.unsqueeze(-1) == torch.arange(4, device=x.device)).to(x.dtype)


def unpool(x: Tensor, mask: Tensor) -> Tensor:
    """(N, C, h, w) placed where the maxima were: (N, C, 2h, 2w), zero elsewhere."""
    n, c, h, w = x.shape
    spread = x.unsqueeze(-1) * mask
    return spread.reshape(n, c, h, w, 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(n, c, 2 * h, 2 * w)


def cropped(features: Tensor, size: tuple[int, int]) -> Tensor:
    """The upper left (height, width) ``size`` of (N, C, H, W): what was added where a size was rounded up comes off."""
    return features[..., : size[0], : size[1]]


def he_normal(module: nn.Module) -> None:
    """Give the convolutions of a module random weights under which features do not fade, and biases of 0.

    That is the initialisation of He, Zhang, Ren, Sun ("Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852, Eq.
    10) for layers with ReLU. PyTorch's own makes features smaller from layer to layer where no batch normalisation
    brings them back.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
