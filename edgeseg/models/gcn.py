"""GCN (Peng, Zhang, Yu, Luo, Sun, "Large Kernel Matters -- Improve Semantic Segmentation by Global Convolutional
Network", CVPR 2017, arXiv:1703.02719).

Telling classes apart wants large kernels, telling where they end wants small ones: at each scale of the backbone a
separable kernel of k x k makes scores of the classes (Fig. 2B), which a residual block refines at their borders
(Fig. 2C); from coarse to fine they are added and refined again, up to the picture's size (Fig. 2A). 24,126,144
parameters at 11 classes with k = 7 upon ResNet-50, as the modules of zijundeng's reimplementation count with that
kernel; it upsamples bilinearly, as this does, where the paper has transposed convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class GlobalConvolution(nn.Module):
    """Fig. 2B: a kernel of k x k as k x 1 after 1 x k beside 1 x k after k x 1, added, with nothing between them."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        tall, wide = (kernel, 1), (1, kernel)
        self.tall_first = nn.Sequential(_conv(in_channels, out_channels, tall), _conv(out_channels, out_channels, wide))
        self.wide_first = nn.Sequential(_conv(in_channels, out_channels, wide), _conv(out_channels, out_channels, tall))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        y: Tensor = self.tall_first(x) + self.wide_first(x)
        return y


class BoundaryRefinement(nn.Module):
    """Fig. 2C: two 3x3 convolutions of the scores, added to them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        y: Tensor = x + self.residual(x)
        return y


@register_network("gcn", paper="arXiv:1703.02719", year=2017)
class GCN(Network):
    """GCN with logits at full resolution. Its tap is what the backbone has before its last stage.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        kernel: k, odd; the paper tries 3 to 15.

    Raises:
        InputError: no such backbone, or a kernel that has no middle.
    """

    stride = 1

    def __init__(self, num_classes: int, *, backbone: str = "resnet50", kernel: int = 7) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise InputError(f"the kernel of gcn is {kernel}", "Use an odd number, such as 7")
        self.backbone = build_backbone(backbone)
        _, *scales = self.backbone.channels
        self.tap_channels = (scales[-2],)
        self.scores = nn.ModuleList(GlobalConvolution(channels, num_classes, kernel) for channels in reversed(scales))
        self.refine_scores = nn.ModuleList(BoundaryRefinement(num_classes) for _ in scales)
        self.refine_sums = nn.ModuleList(BoundaryRefinement(num_classes) for _ in scales[1:])
        self.refine_half = BoundaryRefinement(num_classes)
        self.refine_full = BoundaryRefinement(num_classes)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 16 of (N, 3, H, W) normalised images."""
        at2, *scales = self.backbone(images)
        coarse, *finer = (
            refine(score(one))
            for one, score, refine in zip(reversed(scales), self.scores, self.refine_scores, strict=True)
        )
        for scores, refine in zip(finer, self.refine_sums, strict=True):
            coarse = refine(resize(coarse, (scores.shape[2], scores.shape[3])) + scores)
        half = self.refine_half(resize(coarse, (at2.shape[2], at2.shape[3])))
        return Features(self.refine_full(resize(half, (images.shape[2], images.shape[3]))), (scales[-2],))


def _conv(in_channels: int, out_channels: int, kernel: tuple[int, int]) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
