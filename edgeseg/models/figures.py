"""What a network is in figures, without training or even computing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from edgeseg.models.memory import peak_activation_bytes
from edgeseg.models.network import count_parameters
from edgeseg.models.receptive_field import ReceptiveField, receptive_field
from edgeseg.models.registry import arguments_of, build, published
from edgeseg.models.trace import trace


@dataclass(frozen=True)
class NetworkFigures:
    """A network of so many classes on pictures of one size.

    Attributes:
        name: among :func:`edgeseg.models.registry.network_names`.
        num_classes: as asked for.
        input_size: (height, width) in pixels, as asked for.
        parameters: trainable ones.
        macs: multiply-accumulates of the convolutions and linear layers for one picture.
        stride: pixels of the picture per logit in each direction.
        receptive_field: of a logit; None where it passes an operation whose field is not known.
        peak_activation_bytes: as :func:`edgeseg.models.memory.peak_activation_bytes` counts them, in float32.
        paper, year: see :class:`edgeseg.models.registry.Publication`.
        backbone: what it is built upon, in :data:`edgeseg.models.backbones.registry.BACKBONES`; None for nothing.
        args: what it is made with.
    """

    name: str
    num_classes: int
    input_size: tuple[int, int]
    parameters: int
    macs: int
    stride: int
    receptive_field: ReceptiveField | None
    peak_activation_bytes: int
    paper: str = ""
    year: int | None = None
    backbone: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)


def figures_of(
    name: str, num_classes: int = 19, input_size: tuple[int, int] = (512, 1024), args: Mapping[str, Any] | None = None
) -> NetworkFigures:
    """The figures of a network, found by shapes alone.

    >>> figures_of("fast_scnn", 11, (360, 480)).macs

    Args:
        name: one of :func:`edgeseg.models.registry.network_names`.
        num_classes: 1 to 255.
        input_size: (height, width) of the picture in pixels.
        args: arguments of the network's own.

    Raises:
        ModelError: no network has that name.
        InputError: another number of classes, an argument that the network does not take, or a size that it cannot.
    """
    with torch.device("meta"):  # shapes are enough
        network = build(name, num_classes, args)
    network.check_size(input_size)
    passed = trace(network, input_size)
    origin = published(name)
    return NetworkFigures(
        name=name,
        num_classes=num_classes,
        input_size=input_size,
        parameters=count_parameters(network),
        macs=passed.macs,
        stride=network.stride,
        receptive_field=receptive_field(passed),
        peak_activation_bytes=peak_activation_bytes(passed),
        paper=origin.paper,
        year=origin.year,
        backbone=network.backbone_name or None,
        args={**arguments_of(name), **(args or {})},
    )
