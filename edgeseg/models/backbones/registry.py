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
        "edge_base": "edgeseg.models.backbones.edge:edge_base",
        "edge_nano": "edgeseg.models.backbones.edge:edge_nano",
        "edge_small": "edgeseg.models.backbones.edge:edge_small",
        "efficientnet_lite0": "edgeseg.models.backbones.efficientnet_lite:efficientnet_lite0",
        "hrnet_w18_small": "edgeseg.models.backbones.hrnet:hrnet_w18_small",
        "hrnet_w18_small_v2": "edgeseg.models.backbones.hrnet:hrnet_w18_small_v2",
        "mit_b0": "edgeseg.models.backbones.mit:mit_b0",
        "mobilenet_v2": "edgeseg.models.backbones.mobilenet_v2:mobilenet_v2",
        "mobilenet_v3_large": "edgeseg.models.backbones.mobilenet_v3:mobilenet_v3_large",
        "mobilenet_v3_small": "edgeseg.models.backbones.mobilenet_v3:mobilenet_v3_small",
        "resnet18": "edgeseg.models.backbones.resnet:resnet18",
        "resnet34": "edgeseg.models.backbones.resnet:resnet34",
        "resnet50": "edgeseg.models.backbones.resnet:resnet50",
        "resnet101": "edgeseg.models.backbones.resnet:resnet101",
        "vgg16": "edgeseg.models.backbones.vgg:vgg16",
        "vgg16_bn": "edgeseg.models.backbones.vgg:vgg16_bn",
        "resnet50s": "edgeseg.models.backbones.resnet:resnet50s",
        "stdc1": "edgeseg.models.backbones.stdc:stdc1",
    },
)
"""What makes a backbone of the stride that its features end at and the output stride, from which on none is smaller."""

OUTPUT_STRIDES = (8, 16, 32)
"""What an output stride can be."""


def build_backbone(name: str, stride: int = 32, output_stride: int = 32, *, widened: bool = False) -> Backbone:
    """The backbone of that name, with fresh weights.

    Args:
        name: one of :data:`BACKBONES`.
        stride: of the last features, 16 or 32; what lies behind them is left out.
        output_stride: 8, 16 or 32: those at larger strides are as large as at this one. HRNet and MiT have none but 32.
        widened: whether the features at stride 32 are those that the classifier takes the average of. MobileNets have
            a 1x1 convolution to many more channels there; where there is none, nothing changes.

    Raises:
        InputError: no such name, or a stride or an output stride that it has not.
    """
    if name not in BACKBONES:
        raise InputError(f"there is no backbone {name!r}", f"Use {', '.join(BACKBONES)}")
    if output_stride not in OUTPUT_STRIDES:
        strides = " or ".join(map(str, OUTPUT_STRIDES))
        raise InputError(f"a backbone of output stride {output_stride}", f"Use {strides}")
    backbone = BACKBONES[name](stride, output_stride)
    backbone.name = name
    if widened:
        backbone.widen()
    return backbone
