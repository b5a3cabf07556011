"""ResNet (He, Zhang, Ren, Sun, "Deep Residual Learning", CVPR 2016, arXiv:1512.03385, Table 1), as in torchvision.

The stride of a bottleneck lies in its 3x3 convolution. Where dilation takes the place of a stride, the convolution that
had it keeps the dilation of the stage before, so that what was computed with strides is computed still.

The ``s`` of resnet50s is for its stem, three 3x3 convolutions in place of one 7x7, as in timm and as PSPNet (Zhao 2017)
and the networks that followed it have them.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.base import Chain, Place, Step
from edgeseg.models.blocks import conv_bn, conv_bn_relu


class Residual(nn.Module):
    """Convolutions beside a shortcut, which is a 1x1 convolution where the shapes differ.

    Args:
        place: where it stands.
        channels: inside.
        expansion: by how much more there are outside; 1 for two 3x3 convolutions, else 1x1, 3x3 and 1x1.
        relu: whether their sum passes ReLU.
    """

    def __init__(self, place: Place, channels: int, expansion: int, *, relu: bool = True) -> None:
        super().__init__()
        in_channels, stride = place.in_channels, place.stride
        out_channels = channels * expansion
        layers: list[nn.Module]
        if expansion == 1:
            layers = [
                conv_bn_relu(in_channels, channels, 3, stride, dilation=place.dilation_before),
                conv_bn(channels, channels, 3, dilation=place.dilation),
            ]
        else:
            layers = [
                conv_bn_relu(in_channels, channels, 1),
                conv_bn_relu(channels, channels, 3, stride, dilation=place.dilation_before),
                conv_bn(channels, out_channels, 1),
            ]
        self.block = nn.Sequential(*layers)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_bn(in_channels, out_channels, 1, stride)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        y: Tensor = self.relu(self.block(x) + self.shortcut(x))
        return y


def residuals(in_channels: int, channels: int, count: int, stride: int = 1, expansion: int = 1) -> nn.Sequential:
    """Blocks in a row without ReLU behind the last, for branches that are added before they are activated.

    So DDRNet and PIDNet use them. Bottlenecks, whose ``expansion`` is not 1, have none behind any of them.

    Args:
        in_channels: of what comes in.
        channels: inside the blocks; there are ``expansion`` times as many behind them.
        count: of blocks.
        stride: of the first.
        expansion: as of :class:`Residual`.
    """
    blocks = []
    for index in range(count):
        relu = expansion == 1 and index < count - 1
        blocks.append(Residual(Place(in_channels, stride, 1, 1), channels, expansion, relu=relu))
        in_channels, stride = channels * expansion, 1
    return nn.Sequential(*blocks)


def resnet18(stride: int, output_stride: int) -> Chain:
    """ResNet-18 that ends at stride 16 or 32: 2.8 or 11.2 million parameters."""
    return _chain((2, 2, 2, 2), 1, stride, output_stride)


def resnet34(stride: int, output_stride: int) -> Chain:
    """ResNet-34 that ends at stride 16 or 32: 8.2 or 21.3 million parameters."""
    return _chain((3, 4, 6, 3), 1, stride, output_stride)


def resnet50(stride: int, output_stride: int) -> Chain:
    """ResNet-50 that ends at stride 16 or 32: 8.5 or 23.5 million parameters."""
    return _chain((3, 4, 6, 3), 4, stride, output_stride)


def resnet101(stride: int, output_stride: int) -> Chain:
    """ResNet-101 that ends at stride 16 or 32: 27.5 or 42.5 million parameters."""
    return _chain((3, 4, 23, 3), 4, stride, output_stride)


def resnet50s(stride: int, output_stride: int) -> Chain:
    """ResNet-50 with a deep stem that ends at stride 16 or 32: 8.7 or 23.6 million parameters."""
    return _chain((3, 4, 6, 3), 4, stride, output_stride, deep_stem=True)


def _chain(
    repeats: tuple[int, ...], expansion: int, stride: int, output_stride: int, *, deep_stem: bool = False
) -> Chain:
    """Blocks of each stage, and by how much more channels there are outside of one than inside."""
    steps = (_stage(64 << index, count, expansion, pooled=index == 0) for index, count in enumerate(repeats))
    stem, channels = conv_bn_relu(3, 64, 7, 2), 64
    if deep_stem:
        stem, channels = nn.Sequential(conv_bn_relu(3, 64, 3, 2), conv_bn_relu(64, 64), conv_bn_relu(64, 128)), 128
    return Chain(stem, channels, steps, stride, output_stride=output_stride)


def _stage(channels: int, count: int, expansion: int, *, pooled: bool) -> Step:
    def make(place: Place) -> nn.Module:
        blocks: list[nn.Module] = [nn.MaxPool2d(3, place.stride, padding=1)] if pooled else []
        place = place._replace(stride=1) if pooled else place
        for _ in range(count):
            blocks.append(Residual(place, channels, expansion))
            place = Place(channels * expansion, 1, place.dilation, place.dilation)
        return nn.Sequential(*blocks)

    return Step(make, channels * expansion, 2)
