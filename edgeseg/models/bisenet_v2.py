"""BiSeNetV2 (Yu, Gao, Wang, Yu, Shen, Sang, "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time
Semantic Segmentation", IJCV 2021, arXiv:2004.02147).

Two branches see the picture side by side (Fig. 3, Table 1): wide and shallow for the detail, at stride 8, narrow and
deep for what it means, at stride 32. Guided aggregation lets each of them weigh the other. 3,350,427 parameters at 11
classes, as in CoinCheung's reimplementation without its auxiliary heads. From there comes what the paper does not draw:
ReLU after the depthwise convolutions, after the last one of the aggregation, and with batch normalisation after the
last one of the context embedding. The reimplementation upsamples inside of the aggregation by repetition; here it is
bilinear, as in the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import conv_bn, conv_bn_relu, grid_pool, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class Stem(nn.Module):
    """The stem block (Fig. 4a): from stride 2 to 4 by a convolution and by max pooling, concatenated."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv = conv_bn_relu(3, out_channels, 3, stride=2)
        self.strided = nn.Sequential(conv_bn_relu(out_channels, half, 1), conv_bn_relu(half, out_channels, 3, stride=2))
        self.fuse = conv_bn_relu(2 * out_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, out, H / 4, W / 4)."""
        x = self.conv(x)
        y: Tensor = self.fuse(torch.cat([self.strided(x), F.max_pool2d(x, 3, 2, 1)], dim=1))
        return y


class GatherExpansion(nn.Module):
    """The gather-and-expansion layer (Fig. 5): 3x3 gathers, depthwise 3x3 expands, 1x1 projects; residual.

    With stride 2 there are two depthwise convolutions, and one with a 1x1 on the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        hidden = in_channels * expansion
        gather = conv_bn_relu(in_channels, in_channels, 3)
        if stride == 1:
            expand: list[nn.Module] = [conv_bn_relu(in_channels, hidden, 3, groups=in_channels)]
            self.shortcut: nn.Module = nn.Identity()
        else:
            expand = [
                conv_bn(in_channels, hidden, 3, stride, groups=in_channels),
                conv_bn_relu(hidden, hidden, 3, groups=hidden),
            ]
            self.shortcut = nn.Sequential(
                conv_bn(in_channels, in_channels, 3, stride, groups=in_channels), conv_bn(in_channels, out_channels, 1)
            )
        self.block = nn.Sequential(gather, *expand, conv_bn(hidden, out_channels, 1))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        y: Tensor = self.relu(self.block(x) + self.shortcut(x))
        return y


class ContextEmbedding(nn.Module):
    """The context embedding block (Fig. 4b): the average of the picture is added everywhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.whole = conv_bn_relu(channels, channels, 1)
        self.refine = conv_bn_relu(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = self.refine(x + self.whole(self.norm(grid_pool(x, 1))))
        return y


class GuidedAggregation(nn.Module):
    """The bilateral guided aggregation layer (Fig. 6): either branch is weighed by the other, at both their sizes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail = self._separable(channels)
        self.detail_down = nn.Sequential(conv_bn(channels, channels, 3, stride=2), nn.AvgPool2d(3, 2, 1))
        self.semantic_up = conv_bn(channels, channels, 3)
        self.semantic = self._separable(channels)
        self.project = conv_bn_relu(channels, channels, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C, H / 4, W / 4) to (N, C, H, W)."""
        size = (detail.shape[2], detail.shape[3])
        fine = self.detail(detail) * torch.sigmoid(resize(self.semantic_up(semantic), size))
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic(semantic))
        y: Tensor = self.project(fine + resize(coarse, size))
        return y

    @staticmethod
    def _separable(channels: int) -> nn.Sequential:
        return nn.Sequential(
            conv_bn(channels, channels, 3, groups=channels), nn.Conv2d(channels, channels, 1, bias=False)
        )


@register_network("bisenet_v2", paper="arXiv:2004.02147", year=2021)
class BiSeNetV2(Network):
    """BiSeNetV2 with logits at stride 8.

    Its taps are the semantic branch at strides 4, 8, 16 and 32: there hang the heads of the booster training (Fig. 3).
    """

    stride = 8
    tap_channels = (16, 32, 64, 128)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            *_detail_stage(3, 64, convolutions=2),
            *_detail_stage(64, 64, convolutions=3),
            *_detail_stage(64, 128, convolutions=3),
        )
        self.stem = Stem(16)
        self.semantic3 = _semantic_stage(16, 32, layers=2)
        self.semantic4 = _semantic_stage(32, 64, layers=2)
        self.semantic5 = _semantic_stage(64, 128, layers=4)
        self.context = ContextEmbedding(128)
        self.aggregation = GuidedAggregation(128)
        self.classifier = nn.Sequential(conv_bn_relu(128, 1024, 3), nn.Dropout(0.1), nn.Conv2d(1024, num_classes, 1))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and taps of (N, 3, H, W) normalised images."""
        at4 = self.stem(images)
        at8 = self.semantic3(at4)
        at16 = self.semantic4(at8)
        at32 = self.semantic5(at16)
        fused = self.aggregation(self.detail(images), self.context(at32))
        return Features(self.classifier(fused), (at4, at8, at16, at32))


def _detail_stage(in_channels: int, channels: int, convolutions: int) -> list[nn.Module]:
    """3x3 convolutions, the first of which changes channels and halves the size (Table 1)."""
    others = (conv_bn_relu(channels, channels, 3) for _ in range(convolutions - 1))
    return [conv_bn_relu(in_channels, channels, 3, stride=2), *others]


def _semantic_stage(in_channels: int, channels: int, layers: int) -> nn.Sequential:
    """Gather-and-expansion layers, the first of which changes channels and halves the size (Table 1)."""
    others = (GatherExpansion(channels, channels, 1) for _ in range(layers - 1))
    return nn.Sequential(GatherExpansion(in_channels, channels, 2), *others)
