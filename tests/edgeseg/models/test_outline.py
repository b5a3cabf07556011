"""The outline of a network is what passes through it, however its skips are written."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.network import Features, Network
from edgeseg.models.outline import Part, outline_of
from edgeseg.models.registry import build


class Skips(Network):
    """Four skips, each written in another way, and a tap that leads nowhere."""

    stride = 1
    size_multiple = 4
    tap_channels = (5,)

    def __init__(self) -> None:
        super().__init__()
        self.at1 = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.at2 = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(3)))
        self.at4 = nn.ModuleList([nn.Conv2d(4, 8, 3, stride=2, padding=1)])
        self.tap = nn.Conv2d(8, 5, 1)
        self.whole = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.sides = nn.Conv2d(8, 4, 1)
        self.classifier = nn.Conv2d(4, 2, 1)

    def features(self, images: Tensor) -> Features:
        at1 = self.at1(images)
        pooled, indices = self.pool(at1)
        at2 = self.at2(pooled)
        at4 = self.at4[0](at2)
        tap = self.tap(at4)
        at4 += self.whole(at4.mean((2, 3), keepdim=True))  # in place, and without a place of its own
        up = self.up(at4)
        beside = self.sides(torch.cat([up, at2], dim=1))
        at1_again = F.max_unpool2d(beside, indices, 2)
        return Features(self.classifier(at1_again) + images.mean(1, keepdim=True), (tap,))


def test_skips_are_found_however_they_are_written():
    image, at1, at2, at4, whole, up, sides, classifier = range(8)
    assert outline_of(Skips(), (32, 64)) == [
        Part("image", "", 3, (32, 64), ()),
        Part("at1", "Sequential", 4, (32, 64), (image,)),
        Part("at2", "Sequential", 4, (16, 32), (at1,)),
        Part("at4.0", "Conv2d", 8, (8, 16), (at2,)),
        Part("whole", "Conv2d", 8, (1, 1), (at4,)),
        Part("up", "ConvTranspose2d", 4, (16, 32), (at4, whole)),
        Part("sides", "Conv2d", 4, (16, 32), (at2, up)),
        Part("classifier", "Conv2d", 2, (32, 64), (at1, sides)),
        Part("logits", "", 2, (32, 64), (image, classifier)),
    ]


def test_the_network_is_left_as_it_was():
    network = Skips().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    outline_of(network, (32, 64))
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_sizes_that_the_network_refuses_are_refused():
    with pytest.raises(InputError, match="multiples of 4"):
        outline_of(Skips(), (30, 64))


def outline(name: str) -> list[Part]:
    with torch.device("meta"):
        return outline_of(build(name, 11))


def test_what_changes_resolution_by_more_than_two_is_opened_and_what_repeats_is_one_part():
    parts = {part.name: part for part in outline("fast_scnn")}
    assert [name for name in parts if name.startswith("learning")] == [f"learning_to_downsample.{i}" for i in range(3)]
    stages = [part for part in parts.values() if part.kind == "InvertedResidual"]
    assert [(part.channels, part.repeats) for part in stages] == [(64, 3), (96, 3), (128, 3)]
    assert len(parts["fusion"].sources) == 2


def test_streams_side_by_side_are_a_part_each():
    last = [part for part in outline("hrnet_w18_small") if part.name == "backbone.stages.2"]
    assert [(part.channels, part.size) for part in last] == [(16 << i, (128 >> i, 256 >> i)) for i in range(4)]
    assert len({part.sources for part in last}) == 1  # all of the same


def test_channels_that_come_last_are_told_by_the_proportions():
    stages = [part for part in outline("segformer_b0") if part.name.startswith("backbone.stages")]
    assert [(part.channels, part.size[0]) for part in stages] == [(32, 128), (64, 64), (160, 32), (256, 16)]
