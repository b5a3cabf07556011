"""What every backbone is: a module from images to features at strides 2, 4, 8, …"""

from __future__ import annotations

from torch import Tensor, nn


class Backbone(nn.Module):
    """A classifier without its head.

    Its parameters are declared in the order in which an image passes them, as those of torchvision, timm and mmseg are:
    by that order weights with other names find their place (:mod:`edgeseg.train.transfer`).

    Attributes:
        channels: of the features at strides 2, 4, 8, … in their order; they end at the last stride that is computed.
    """

    channels: tuple[int, ...]

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised images to (N, channels, H / stride, W / stride) each."""
        raise NotImplementedError
