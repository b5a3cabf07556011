"""MobileNetV3 (Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244, Tables 1 and 2), as torchvision
builds it. Hard swish and squeeze-and-excitation lose accuracy in INT8 that the other backbones keep.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edgeseg.models.backbones.base import Backbone
from edgeseg.models.backbones.inverted_residual import InvertedResidual
from edgeseg.models.blocks import conv_bn

_Row = tuple[int, int, int, bool, bool, int]

_LARGE: tuple[_Row, ...] = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
_SMALL: tuple[_Row, ...] = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
"""Kernel, channels inside, channels outside, squeeze-and-excitation, hard swish, stride."""

_EPSILON, _MOMENTUM = 1e-3, 0.01


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole picture says of them (Hu, Shen, Sun, 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, int(channels / 4 + 4) // 8 * 8)
        squeezed += 8 if squeezed < 0.9 * channels / 4 else 0
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        weights: Tensor = self.weigh(x)
        return x * weights


class MobileNetV3(Backbone):
    """MobileNetV3 up to the features of a stride, 16 or 32.

    Args:
        rows: of the paper's table.
        stride: of the last features.
    """

    def __init__(self, rows: tuple[_Row, ...], stride: int = 32) -> None:
        super().__init__()
        self.stem = conv_bn(3, 16, 3, 2, activation=_hard_swish)
        strides = [2 * 2 ** sum(row[-1] == 2 for row in rows[: index + 1]) for index in range(len(rows))]
        rows = tuple(row for row, reached in zip(rows, strides, strict=True) if reached <= stride)
        strides = strides[: len(rows)]
        blocks: list[nn.Module] = []
        in_channels = 16
        for kernel, hidden, channels, squeezes, swishes, step in rows:
            activation: Callable[[], nn.Module] = _hard_swish if swishes else _relu
            blocks.append(
                InvertedResidual(
                    in_channels,
                    channels,
                    hidden,
                    kernel=kernel,
                    stride=step,
                    activation=activation,
                    squeeze=SqueezeExcitation if squeezes else None,
                )
            )
            in_channels = channels
        self.blocks = nn.ModuleList(blocks)
        self._last = {reached: index for index, reached in enumerate(strides)}
        """The last block at each stride."""
        found = {reached: rows[index][2] for reached, index in self._last.items()}
        self.channels = tuple(found.get(2**power, 16) for power in range(1, stride.bit_length()))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = _EPSILON, _MOMENTUM

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 (and 32) of (N, 3, H, W) normalised images."""
        x: Tensor = self.stem(images)
        features = [] if 2 in self._last else [x]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._last.values():
                features.append(x)
        return features


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _hard_swish() -> nn.Module:
    return nn.Hardswish(inplace=True)


def mobilenet_v3_large(stride: int) -> MobileNetV3:
    """MobileNetV3-Large that ends at that stride."""
    return MobileNetV3(_LARGE, stride)


def mobilenet_v3_small(stride: int) -> MobileNetV3:
    """MobileNetV3-Small that ends at that stride."""
    return MobileNetV3(_SMALL, stride)
