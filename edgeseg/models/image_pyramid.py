"""The image pyramid (Farabet, Couprie, Najman, LeCun, "Learning Hierarchical Features for Scene Labeling", TPAMI 2013,
doi:10.1109/TPAMI.2012.231), around any network.

One network, with the same weights, sees the picture at several scales, each half of the one before (Fig. 1). The paper
upsamples and concatenates the features of the scales, and a linear classifier looks at all of them. Here a network ends
in its own logits, so that these are concatenated, and a 1x1 convolution weighs them; it begins as their mean. The
paper's pyramid is a Laplacian one of locally normalised YUV; here it is made of plain smaller pictures, which are what
trained weights know.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.blocks import resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import build, register_network

_MOST_SCALES = 5


@register_network("image_pyramid", paper="doi:10.1109/TPAMI.2012.231", year=2013)
class ImagePyramid(Network):
    """Another network over several scales, with the stride and, of the largest scale, the taps of that network.

    Args:
        num_classes: logits of each pixel.
        network: name of the network.
        scales: how many pictures it sees, each half as high and wide as the one before: the paper has 3.
        network_args: its own arguments, beside these.

    Raises:
        InputError: another number of scales, or an argument that the network does not take.
        ModelError: no network has that name.
    """

    def __init__(self, num_classes: int, *, network: str = "fast_scnn", scales: int = 3, **network_args: Any) -> None:
        super().__init__()
        if not 1 <= scales <= _MOST_SCALES:
            raise InputError(f"the scales of image_pyramid are {scales}", f"Use 1 to {_MOST_SCALES}")
        self.scales = scales
        self.network = build(str(network), num_classes, network_args)
        self.stride = self.network.stride
        self.tap_channels = self.network.tap_channels
        if self.network.size_multiple > 1:
            self.size_multiple = self.network.size_multiple << (scales - 1)
        self.fuse = nn.Conv2d(scales * num_classes, num_classes, 1)
        with torch.no_grad():
            mean = torch.eye(num_classes).repeat(1, scales) / scales
            self.fuse.weight.copy_(mean.view_as(self.fuse.weight))
            self.fuse.bias.zero_()  # type: ignore[union-attr]  # it has one

    @property
    def backbone(self) -> nn.Module:
        """That of the network within, if it has one."""
        backbone: nn.Module = self.network.backbone  # type: ignore[assignment]
        return backbone

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError unless images of (height, width) ``size`` can pass, at every scale."""
        super().check_size(size)
        for _ in range(self.scales - 1):
            size = _half(size)
        self.network.check_size(size)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / stride, W / stride) and taps of (N, 3, H, W) normalised images."""
        largest = self.network.features(images)
        size = (largest.logits.shape[2], largest.logits.shape[3])
        logits = [largest.logits]
        for _ in range(self.scales - 1):
            images = resize(images, _half((images.shape[2], images.shape[3])))  # the mean of 2x2 pixels
            logits.append(resize(self.network(images), size))
        return Features(self.fuse(torch.cat(logits, dim=1)), largest.taps)


def _half(size: tuple[int, int]) -> tuple[int, int]:
    """Half of (height, width), rounded up."""
    return -(-size[0] // 2), -(-size[1] // 2)
