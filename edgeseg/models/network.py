"""What every network of edgeseg is: a module that returns logits at its stride, and shows features to train on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.trace import trace


class Features(NamedTuple):
    """Logits, and the intermediate features that auxiliary training losses attach to.

    Attributes:
        logits: (N, classes, H / stride, W / stride) float.
        taps: (N, channels, h, w) float each, channels as in ``Network.tap_channels``; one of 1x1 is of the whole
            picture.
    """

    logits: Tensor
    taps: tuple[Tensor, ...]


class Network(nn.Module):
    """A segmentation network.

    Subclasses set the attributes and implement :meth:`features`; inference never sees the taps, so auxiliary
    heads cost nothing there.

    Attributes:
        stride: input pixels per logit in each direction.
        size_multiple: height and width of the images must be multiples of this.
        tap_channels: channels of each tap.

    One that is built upon a backbone has it as ``backbone``: a training may begin with its weights.
    """

    stride: int
    size_multiple: int = 1
    tap_channels: tuple[int, ...]

    @property
    def backbone_name(self) -> str:
        """Its backbone's name in :data:`edgeseg.models.backbones.registry.BACKBONES`; empty where there is none."""
        return str(getattr(getattr(self, "backbone", None), "name", ""))

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError unless images of (height, width) ``size`` can pass."""
        if size[0] % self.size_multiple or size[1] % self.size_multiple:
            raise InputError(
                f"{type(self).__name__} cannot take images of {size[1]}x{size[0]}",
                f"Give a width and height that are multiples of {self.size_multiple}",
            )

    def features(self, images: Tensor) -> Features:
        """Logits and taps of (N, 3, H, W) normalised images."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised images to (N, classes, H / stride, W / stride) logits."""
        return self.features(images).logits


def first_not_finite(module: nn.Module) -> str | None:
    """The name of a parameter or buffer that holds NaN or infinity; None where all are finite.

    The host waits for the device once.
    """
    state = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
    if not state:
        return None
    finite = torch.stack([torch.isfinite(value).all() for value in state.values()]).tolist()
    return next((name for name, well in zip(state, finite, strict=True) if not well), None)


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_macs(network: nn.Module, input_size: tuple[int, int]) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one image of (height, width) pixels.

    They are counted by shapes alone: nothing is computed.
    """
    return trace(network, input_size).macs
