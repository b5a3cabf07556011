"""The network that is trained: what it is made from, how pictures come before it, and the checkpoints of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeseg.data.dataset import Dataset
from edgeseg.models.checkpoint import save_network
from edgeseg.models.network import Network, count_macs, count_parameters
from edgeseg.models.normalise import Normalise
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import CrfParams
from edgeseg.train.config import TrainConfig
from edgeseg.train.crf_rnn import REFINED_MIOU
from edgeseg.train.data import SplitTensors
from edgeseg.train.depthwise import quicken
from edgeseg.train.pretrained import Rgb
from edgeseg.train.qat import ROUNDED_MIOU, begin, check_same_classes, rounded, save_learned
from edgeseg.train.transfer import Transfer, start_from
from edgeseg.train.world import world

if TYPE_CHECKING:
    from edgeseg.train.fake_quantize import FakeQuantized


class Student:
    """A network with random weights, or that of ``config.qat``, until :meth:`begin` gives it others.

    Args:
        config: the recipe.
        dataset: whose classes it tells apart.
        device: where it is put.

    Attributes:
        network: with ``qat`` and after :meth:`round`, what rounds as INT8 does.
        rounding: the same; None for a network that does not round.
        normalise: what is done to pixels first.

    Raises:
        InputError: the network cannot take the size, or ``qat`` is for another one or other classes.
        ModelError: no such network or checkpoint.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, device: torch.device) -> None:
        self._config = config
        self._dataset = dataset
        self._device = device
        self._before: ModelSpec | None = None  # what is kept of what it began with
        self.rounding: FakeQuantized | None = None
        self.network = self._build()
        self._figures = {
            "parameters": count_parameters(self.network),
            "macs": count_macs(self.network, config.input_size),
        }
        self.normalise = Normalise(self.spec).to(device)

    def _build(self) -> Network:
        config = self._config
        if config.qat:
            network, self._before = begin(config)
            check_same_classes(config, self._before, self._dataset)
        else:
            network = build(config.network, self._dataset.num_classes, config.network_args)
        network.to(self._device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        quicken(network)
        network.check_size(config.input_size)
        network.check_size(config.crop_size)
        return network

    @property
    def spec(self) -> ModelSpec:
        """Its ModelSpec."""
        config, dataset = self._config, self._dataset
        spec = ModelSpec(
            network=config.network,
            network_args=config.network_args,
            class_names=dataset.names,
            colors=dataset.colors,
            input_size=config.input_size,
            fit=config.fit,
            tile_scale=config.tile_scale,
            stride=self.network.stride,
            label_ignore_index=dataset.coding.ignore_index,
            data=f"{_printable(dataset.path.resolve().parent.name)}, split {config.train_split}",
            metrics=self._figures,
        )
        before = self._before
        if before is None:
            return spec
        return replace(spec, mean=before.mean, std=before.std, license=before.license, crf=before.crf)

    def round(self, samples: SplitTensors) -> None:
        """From now on round as INT8 does, in the ranges that some samples reach.

        Raises:
            ModelError: the network does not return finite numbers.
        """
        self.network = self.rounding = rounded(self.network, self._config, samples, self.inputs)

    def begin(self) -> Transfer:
        """Take the weights that ``config.init`` names, with the mean and standard deviation that they want.

        Of several processes the first reads them, and the others have them from it once the steps begin.

        Raises:
            ModelError: no such file, or weights of another network.
            MissingDependencyError: the package that has the weights is not installed.
        """
        source, classes = str(self._config.init), self._dataset.num_classes
        transfer = world().from_first(lambda: start_from(self.network, source, classes))
        self.normalise_by(transfer.mean, transfer.std)
        return transfer

    def normalise_by(self, mean: Rgb, std: Rgb) -> None:
        """Take other means and standard deviations of (R, G, B) in 0..1."""
        self._before = replace(self._before or self.spec, mean=mean, std=std)
        for own, new in zip(self.normalise.buffers(), Normalise(self.spec).buffers(), strict=True):
            own.copy_(new)

    def inputs(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to what the network takes, on its device."""
        pixels: Tensor = self.normalise(images.to(self._device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)

    def measured(self, miou: float, classes: int, crf: CrfParams | None = None) -> ModelSpec:
        """The spec with its figures on the validation split.

        Args:
            miou: a fraction of 1.
            classes: over how many classes that is the mean.
            crf: what refined the labels that were measured; None for nothing.
        """
        # What a network says with the rounding of INT8, or with a CRF, is no figure of the weights in its checkpoint.
        name = ROUNDED_MIOU if self.rounding is not None else "val_miou" if crf is None else REFINED_MIOU
        spec = self.spec if crf is None else replace(self.spec, crf=crf)
        spec = spec.with_metrics(**{name: miou})
        return spec if classes == self._dataset.num_classes else spec.with_metrics(val_classes=classes)

    def save(self, path: Path, averaged: Network, spec: ModelSpec) -> None:
        """Write a checkpoint of its averaged weights.

        Raises:
            SinkError: the file cannot be written.
        """
        if self.rounding is None:
            save_network(path, averaged, spec)
        else:
            assert isinstance(averaged, type(self.rounding))
            save_learned(path, averaged, spec, self._config.qat_target)


def _printable(name: str) -> str:
    """A folder's name where it is no Unicode or holds what would reach the terminal: with a mark in that place."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
