"""Quantization-aware training: what such a run begins with, and what its checkpoint says beside plain weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgeseg.data.dataset import Dataset
from edgeseg.data.sampling import spread
from edgeseg.errors import InputError, ModelError
from edgeseg.models.checkpoint import Checkpoint, read_checkpoint, save_atomically
from edgeseg.models.network import Network
from edgeseg.spec import ModelSpec
from edgeseg.spec.int8 import INT8_LEVELS, INT8_TARGETS, Int8Target
from edgeseg.spec.placement import tiles_of
from edgeseg.train.capture import PREFIX, capture, normalisation_of, stem_of
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors

if TYPE_CHECKING:
    from edgeseg.train.fake_quantize import FakeQuantized

DEFAULTS: Mapping[str, Any] = {"epochs": 5, "learning_rate": 2e-5, "warmup_epochs": 0.5, "aux_weight": 0.0}
"""Where a run with ``qat`` differs from one without, if it is told nothing else.

Auxiliary heads would begin with random weights, and pull at a network that is nearly done.
"""

FREEZE_STATISTICS = 0.4
"""The fraction of the epochs after which the means and variances of batch normalisation stay as they are."""

FREEZE_RANGES = 0.8
"""Likewise the ranges."""

CALIBRATION_IMAGES = 32
"""What the first ranges are seen on."""

ROUNDED_MIOU = "val_miou_rounded"
"""The figure in such a checkpoint's spec: as ``val_miou``, of the network as it rounds in PyTorch."""

_KEY = "qat"


@dataclass(frozen=True)
class Learned:
    """What a checkpoint knows of quantization.

    Attributes:
        target: what it was trained for.
        ranges: the lowest and highest value of each group of :func:`edgeseg.train.capture.quantized_tensors`.
    """

    target: Int8Target
    ranges: tuple[tuple[float, float], ...]


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run with ``qat``: what is not among them is that of the checkpoint, or of ``DEFAULTS``.

    Raises:
        ModelError, SpecError: ``qat`` is no checkpoint that can be begun with.
    """
    _, spec = _load(Path(settings["qat"]))
    height, width = spec.input_size
    own = {"network": spec.network, "network_args": spec.network_args, "height": height, "width": width}
    own |= {"fit": spec.fit, "tile_scale": spec.tile_scale}
    return {**DEFAULTS, **own, **settings}


def begin(config: TrainConfig) -> tuple[Network, ModelSpec]:
    """The network that ``config.qat`` holds, and its spec, with an input that INT8 can take; see ``_centre``.

    Raises:
        ModelError: not a checkpoint of edgeseg, or one that has been through this already.
        InputError: the configuration is for another network or size.
    """
    network, spec = _load(Path(str(config.qat)))
    if config.network != spec.network:
        raise InputError(f"{config.qat} is a {spec.network}, not a {config.network}", "Leave out network")
    if config.network_args != spec.network_args:
        what = f"{config.qat} was made with {dict(spec.network_args)}, not {dict(config.network_args)}"
        raise InputError(what, "Leave out network_args")
    if config.input_size != spec.input_size:
        height, width = spec.input_size
        raise InputError(f"{config.qat} takes images of {width}x{height}", "Leave out height and width")
    if (config.fit, config.tile_scale) != (spec.fit, spec.tile_scale):
        scale = f" at scale {spec.tile_scale:g}" if spec.fit == "tile" else ""
        raise InputError(f"{config.qat} was trained with fit {spec.fit}{scale}", "Leave out fit and tile_scale")
    return network, _centre(network, spec, config.qat_target)


def check_same_classes(config: TrainConfig, spec: ModelSpec, dataset: Dataset) -> None:
    """Raise InputError unless the checkpoint that is begun with is one for this dataset."""
    if spec.class_names != dataset.names:
        what = f"{config.qat} has other classes than {dataset.path}"
        raise InputError(what, "Pass the data it was trained on, or train without qat first")


def rounded(
    network: Network, config: TrainConfig, samples: SplitTensors, inputs: Callable[[Tensor], Tensor]
) -> FakeQuantized:
    """The network with the rounding of INT8, whose first ranges are those that training images reach.

    Args:
        network: of :func:`begin`, on its device.
        config: the recipe.
        samples: to train on, placed as the network's spec says.
        inputs: makes what the network takes of (1, 3, H, W) uint8 RGB.

    Raises:
        ModelError: the network does not return finite numbers.
    """
    from edgeseg.train.fake_quantize import FakeQuantized

    rounding = FakeQuantized(network, config.qat_target, config.input_size)
    chosen = spread(range(len(samples)), CALIBRATION_IMAGES)
    try:
        rounding.calibrate(inputs(_one_input(samples, index).unsqueeze(0)) for index in chosen)
    except FloatingPointError:
        raise ModelError(
            f"{config.qat} does not return finite numbers for the training images", "Train it again"
        ) from None
    return rounding


def _one_input(samples: SplitTensors, index: int) -> Tensor:
    """(3, H, W) uint8 RGB at the input size: a training image, or one of its tiles."""
    image, spec = samples[index][0], samples.spec
    assert spec is not None
    tiles = tiles_of((image.shape[1], image.shape[2]), spec.input_size, spec.cell)
    return image[tiles[index % len(tiles)].planes]


def save_learned(path: Path, network: FakeQuantized, spec: ModelSpec, target: Int8Target) -> None:
    """Write a checkpoint of plain weights that also carries the ranges.

    Raises:
        SinkError: the file cannot be written.
    """
    learned = {"target": target, "ranges": network.ranges()}
    save_atomically(path, {"spec": spec.to_json(), "model": network.float_state(), _KEY: learned})


def read_learned(source: Path | Checkpoint) -> Learned | None:
    """What a checkpoint learned of quantization; None for one trained without.

    Raises:
        ModelError: not a checkpoint, or damaged.
    """
    checkpoint = read_checkpoint(source)
    raw = checkpoint.content.get(_KEY)
    if raw is None:
        return None
    try:
        learned = Learned(raw["target"], tuple((float(low), float(high)) for low, high in raw["ranges"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        learned = None
    if learned is None or learned.target not in INT8_TARGETS or not all(map(_is_range, learned.ranges)):
        raise ModelError(f"the ranges in {checkpoint.path} cannot be read", "Train it for INT8 again (qat)")
    return learned


def _is_range(limits: tuple[float, float]) -> bool:
    low, high = limits
    return math.isfinite(low) and math.isfinite(high) and low <= 0 <= high and low < high


def _load(checkpoint: Path) -> tuple[Network, ModelSpec]:
    read = read_checkpoint(checkpoint)
    network = read.network()
    if (learned := read_learned(read)) is not None:
        raise ModelError(
            f"{checkpoint} has been trained for INT8 already, for {learned.target}",
            "Pass the checkpoint that run began with",
        )
    return network, read.spec


def _centre(network: Network, spec: ModelSpec, target: Int8Target) -> ModelSpec:
    """Rewrite the first layer, in place, for pixels less a whole number, and return the spec that says so.

    A quantized artifact reads bytes: :mod:`edgeseg.quantize.fold` has the arithmetic. Rewritten before training, with
    the same number, the border and the rounding of the first weights are in training what they will be. Nothing is done
    where more than a convolution with its normalisation reads the input, which then is rounded as any other tensor.
    """
    graph = capture(network, spec.input_size).graph
    stem = stem_of(graph)
    normalisation = normalisation_of(stem) if stem is not None else None
    if stem is None or normalisation is None:
        return spec
    weight, mean = (_state(network, node) for node in (stem.args[1], normalisation.args[3]))
    offset, scale = 255 * torch.tensor(spec.mean), 1 / (255 * torch.tensor(spec.std))
    zero_point = INT8_LEVELS[target].grey(float(offset.mean()))
    common = float(scale.mean())
    with torch.no_grad():
        mean -= (weight * (scale * (zero_point - offset))[:, None, None]).sum(dim=(1, 2, 3))
        weight *= (scale / common)[:, None, None]
    return replace(spec, mean=(zero_point / 255,) * 3, std=(1 / (255 * common),) * 3)


def _state(network: Network, node: Any) -> Tensor:
    tensor: Tensor = network.state_dict()[str(node.target).removeprefix(PREFIX)]
    return tensor
