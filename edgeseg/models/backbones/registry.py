"""Backbones by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseg.errors import InputError
from edgeseg.plugins import Plugins

if TYPE_CHECKING:
    from edgeseg.models.backbones.base import Backbone

BACKBONES: Plugins[Callable[[int, int], Backbone]] = Plugins(
    "edgeseg.backbones",
    {
        "efficientnet_lite0": "edgeseg.models.backbones.efficientnet_lite:efficientnet_lite0",
        "mobilenet_v2": "edgeseg.models.backbones.mobilenet_v2:mobilenet_v2",
        "mobilenet_v3_large": "edgeseg.models.backbones.mobilenet_v3:mobilenet_v3_large",
        "mobilenet_v3_small": "edgeseg.models.backbones.mobilenet_v3:mobilenet_v3_small",
        "resnet18": "edgeseg.models.backbones.resnet:resnet18",
        "resnet34": "edgeseg.models.backbones.resnet:resnet34",
        "resnet50": "edgeseg.models.backbones.resnet:resnet50",
        "resnet101": "edgeseg.models.backbones.resnet:resnet101",
        "vgg16": "edgeseg.models.backbones.vgg:vgg16",
        "vgg16_bn": "edgeseg.models.backbones.vgg:vgg16_bn",
    },
)
"""What makes a backbone of the stride that its features end at and the output stride, from which on none is smaller."""


def build_backbone(name: str, stride: int = 32, output_stride: int = 32) -> Backbone:
    """The backbone of that name, with fresh weights.

    Args:
        name: one of :data:`BACKBONES`.
        stride: of the last features, 16 or 32; what lies behind them is left out.
        output_stride: 8, 16 or 32: those at larger strides are as large as at this one.

    Raises:
        InputError: no such name.
    """
    if name not in BACKBONES:
        raise InputError(f"there is no backbone {name!r}", f"Use {', '.join(BACKBONES)}")
    return BACKBONES[name](stride, output_stride)
