"""Fast-SCNN (Poudel, Liwicki, Cipolla, "Fast-SCNN: Fast Semantic Segmentation Network", BMVC 2019, arXiv:1902.04502).

Two branches share their first layers (Fig. 1, Table 1): the learning to downsample module keeps the detail at stride 8,
the global feature extractor sees the scene at stride 32, and the feature fusion module adds them. 1,137,019 parameters
at 11 classes, as in the reimplementation of Tramac, whose 1x1 convolutions of the fusion keep their bias.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.blocks import PyramidPooling, conv_bn_relu, resize, scaled, separable_conv
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class InvertedResidual(nn.Module):
    """The bottleneck of MobileNetV2 (Table 2): expand 1x1, depthwise 3x3, project 1x1; residual where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.block = nn.Sequential(
            conv_bn_relu(in_channels, hidden, 1),
            conv_bn_relu(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.residual else y


class FeatureFusion(nn.Module):
    """The feature fusion module (Table 3): upsample the deep branch, refine it, and add both branches."""

    def __init__(self, detail_channels: int, global_channels: int, out_channels: int) -> None:
        super().__init__()
        self.refine = conv_bn_relu(global_channels, out_channels, 3, groups=out_channels)
        self.project_global = nn.Sequential(nn.Conv2d(out_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.project_detail = nn.Sequential(nn.Conv2d(detail_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """(N, detail, H, W) and (N, global, h, w) to (N, out, H, W)."""
        context = resize(context, (detail.shape[2], detail.shape[3]))
        y: Tensor = self.relu(self.project_detail(detail) + self.project_global(self.refine(context)))
        return y


@register_network("fast_scnn", paper="arXiv:1902.04502", year=2019)
class FastSCNN(Network):
    """Fast-SCNN with logits at stride 8. Its taps are detail (stride 8) and global features (stride 32).

    Args:
        num_classes: logits of each pixel.
        width: multiplies the channels of every layer, 0.25 to 4; the paper's network has 1.

    Raises:
        InputError: width is out of range.
    """

    stride = 8

    def __init__(self, num_classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        if not 0.25 <= width <= 4:
            raise InputError(f"the width of fast_scnn is {width}", "Use 0.25 to 4")
        c32, c48, c64, c96, c128 = (scaled(channels, width) for channels in (32, 48, 64, 96, 128))
        self.tap_channels = (c64, c128)
        self.learning_to_downsample = nn.Sequential(
            conv_bn_relu(3, c32, 3, stride=2), separable_conv(c32, c48, stride=2), separable_conv(c48, c64, stride=2)
        )
        self.global_features = nn.Sequential(
            *_stage(c64, c64, repeats=3, stride=2),
            *_stage(c64, c96, repeats=3, stride=2),
            *_stage(c96, c128, repeats=3, stride=1),
            PyramidPooling(c128, c128),
        )
        self.fusion = FeatureFusion(c64, c128, c128)
        self.classifier = nn.Sequential(
            separable_conv(c128, c128), separable_conv(c128, c128), nn.Dropout(0.1), nn.Conv2d(c128, num_classes, 1)
        )

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and taps of (N, 3, H, W) normalised images."""
        detail = self.learning_to_downsample(images)
        context = self.global_features(detail)
        return Features(self.classifier(self.fusion(detail, context)), (detail, context))


def _stage(in_channels: int, out_channels: int, repeats: int, stride: int) -> list[nn.Module]:
    """``repeats`` bottlenecks, the first of which changes channels and stride."""
    first = InvertedResidual(in_channels, out_channels, stride)
    return [first, *(InvertedResidual(out_channels, out_channels, 1) for _ in range(repeats - 1))]
