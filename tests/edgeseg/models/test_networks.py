"""What the networks promise: parameters as published, output strides, taps, sizes they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.errors import InputError, ModelError
from edgeseg.models.network import count_macs, count_parameters
from edgeseg.models.registry import build, network_names, register_network

PARAMETERS = {
    "fast_scnn": 1_137_019,
    "enet": 350_508,
    "edgenet": 743_979,
    "fcn_32s": 134_801_227,
    "fcn_16s": 134_437_094,
    "fcn_8s": 134_348_929,
    "segnet": 29_449_355,
    "deconvnet": 251_805_003,
    "unet": 31_038_283,
    "deeplab_v1": 20_495_179,
    "deeplab_v2": 43_311_212,
    "hed": 14_731_001,
}
"""Of every network at 11 classes, as the reference that its file names counts them."""

LIGHTER = {
    "fcn_32s": {"fc_channels": 32},
    "fcn_16s": {"fc_channels": 32},
    "fcn_8s": {"fc_channels": 32},
    "deconvnet": {"fc_channels": 32},
    "unet": {"width": 0.25},
}
"""What the largest networks are made with where their size does not matter."""


@pytest.mark.parametrize("name", network_names())
def test_parameters_at_11_classes(name):
    with torch.device("meta"):
        network = build(name, 11)
    assert count_parameters(network) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "size", "logits_size"),
    [
        ("fast_scnn", (64, 96), (8, 12)),
        ("fast_scnn", (65, 97), (9, 13)),
        ("fast_scnn", (45, 71), (6, 9)),
        ("fast_scnn", (8, 8), (1, 1)),
        ("enet", (64, 96), (64, 96)),
        ("enet", (8, 40), (8, 40)),
        ("edgenet", (64, 96), (16, 24)),
        ("edgenet", (65, 97), (17, 25)),
        ("edgenet", (8, 8), (2, 2)),
        ("fcn_32s", (33, 45), (33, 45)),
        ("fcn_16s", (33, 45), (33, 45)),
        ("fcn_8s", (33, 45), (33, 45)),
        ("fcn_8s", (8, 8), (8, 8)),
        ("segnet", (33, 45), (33, 45)),
        ("segnet", (8, 8), (8, 8)),
        ("deconvnet", (33, 45), (33, 45)),
        ("unet", (33, 45), (33, 45)),
        ("unet", (8, 8), (8, 8)),
        ("deeplab_v1", (33, 45), (5, 6)),
        ("deeplab_v1", (8, 8), (1, 1)),
        ("deeplab_v2", (33, 45), (5, 6)),
        ("hed", (33, 45), (33, 45)),
        ("hed", (8, 8), (8, 8)),
    ],
)
@torch.no_grad()
def test_logits_have_the_size_of_the_image_over_the_stride_rounded_up(name, size, logits_size):
    network = build(name, 4, LIGHTER.get(name)).eval()
    logits = network(torch.rand(2, 3, *size))
    assert logits.shape == (2, 4, *logits_size)
    assert logits_size == tuple(-(-pixels // network.stride) for pixels in size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", network_names())
@torch.no_grad()
def test_taps_have_the_channels_they_claim_and_leave_the_logits_alone(name):
    network = build(name, 4, LIGHTER.get(name)).eval()
    images = torch.rand(1, 3, 64, 96)
    features = network.features(images)
    assert tuple(tap.shape[1] for tap in features.taps) == network.tap_channels
    torch.testing.assert_close(features.logits, network(images))


@pytest.mark.parametrize("name", network_names())
def test_every_parameter_learns(name):
    network = build(name, 4, LIGHTER.get(name)).train()
    network(torch.rand(2, 3, 64, 96)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("size", [(60, 96), (64, 100)])
def test_enet_says_which_sizes_it_takes(size):
    with pytest.raises(InputError, match=rf"ENet cannot take images of {size[1]}x{size[0]}.*multiples of 8"):
        build("enet", 4).check_size(size)
    build("enet", 4).check_size((64, 96))
    build("fast_scnn", 4).check_size(size)


@torch.no_grad()
def test_fast_scnn_can_be_narrower_and_wider():
    images = torch.rand(1, 3, 64, 96)
    sizes = []
    for width in (0.25, 0.5, 1.0, 1.5):
        network = build("fast_scnn", 4, {"width": width}).eval()
        features = network.features(images)
        assert features.logits.shape == (1, 4, 8, 12)
        assert tuple(tap.shape[1] for tap in features.taps) == network.tap_channels
        sizes.append(count_parameters(network))
    assert sizes == sorted(sizes)
    assert sizes[2] == count_parameters(build("fast_scnn", 4))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"depth": 3}, r"fast_scnn takes no argument depth\. Use width"),
        ({"width": 9}, r"the width of fast_scnn is 9\. Use 0\.25 to 4"),
        ({"width": "wide"}, r"fast_scnn cannot be made with \{'width': 'wide'\} \("),
    ],
)
def test_arguments_that_a_network_does_not_take_are_told(args, message):
    with pytest.raises(InputError, match=message):
        build("fast_scnn", 4, args)


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="two networks are called 'enet'"):
        register_network("enet")(nn.Identity)


def test_an_unknown_network_is_told_the_known_ones():
    with pytest.raises(ModelError, match=r"no network 'nonet'.*fast_scnn, enet"):
        build("nonet", 4)


def test_macs_equal_a_count_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),  # to 4x5: 20 * 4 * 27
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),  # 20 * 4 * 9
        nn.ConvTranspose2d(4, 2, 2, stride=2),  # 20 pixels, each to 2x2 of 2 channels from 4: 20 * 4 * 2 * 4
    )
    network.train()
    statistics = network[1].running_mean.clone()
    assert count_macs(network, (8, 10)) == 20 * 4 * 27 + 20 * 4 * 9 + 20 * 4 * 2 * 4
    assert network.training
    torch.testing.assert_close(network[1].running_mean, statistics)


@pytest.mark.parametrize("classes", [-1, 0, 256])
def test_labels_of_eight_bits_limit_the_classes(classes):
    with pytest.raises(InputError, match=rf"a network of {classes} classes\. Use 1 to 255"):
        build("fast_scnn", classes)
