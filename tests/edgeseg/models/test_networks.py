"""What the networks promise: parameters as published, output strides, taps, sizes they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.errors import InputError, ModelError
from edgeseg.models.encnet import Encoding
from edgeseg.models.gcn import GlobalConvolution
from edgeseg.models.network import count_macs, count_parameters
from edgeseg.models.registry import build, network_names, register_network

PARAMETERS = {
    "fast_scnn": 1_137_019,
    "enet": 350_508,
    "edgenet": 743_979,
    "edgenet_base": 2_468_363,
    "edgenet_nano": 141_851,
    "edgenet_small": 631_803,
    "erfnet": 2_065_090 - 129 * 11,  # the reference's classifier of the encoder alone
    "espnetv2": 782_868 - 480,  # slopes that no image passes
    "contextnet": 875_531,
    "cgnet": 494_258,
    "dabnet": 754_571,
    "lednet": 922_144 - 129 * 11,  # as of erfnet
    "fcn_32s": 134_801_227,
    "fcn_16s": 134_437_094,
    "fcn_8s": 134_348_929,
    "segnet": 29_449_355,
    "deconvnet": 251_805_003,
    "unet": 31_038_283,
    "deeplab_v1": 20_495_179,
    "deeplab_v2": 43_311_212,
    "hed": 14_731_001,
    "deeplab_v3": 39_636_299,
    "deeplab_v3_mobilenet": 11_022_907,
    "deeplab_v3_plus": 4_381_083,
    "deeplab_v3_plus_resnet50": 26_680_155,
    "pspnet": 49_073_878 - (1024 * 256 * 9 + 2 * 256 + 257 * 11),
    "gcn": 24_126_144,
    "encnet": 33_499_830 - 513 * 11,
    "lraspp": 3_219_838,
    "lraspp_mobilenet_v2": 1_811_712 + 320 * 128 * 2 + 2 * 128 + 33 * 11 + 129 * 11,
    "hrnet_w18_small": 1_538_891,
    "hrnet_w18_small_v2": 3_937_411,
    "segformer_b0": 3_716_971,
    "image_pyramid": 1_137_019 + 3 * 11 * 11 + 11,
    "bisenet_v2": 3_350_427,
    "stdc1": 8_273_056,
    "ddrnet_23_slim": 5_695_467,
    "pidnet_s": 7_624_683,
    "regseg": 3_334_431,
    "pp_liteseg_t": 8_028_064,
    "letnet": 950_304 - 2 * 272 + 784,
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
        ("edgenet_base", (65, 97), (17, 25)),
        ("edgenet_base", (8, 8), (2, 2)),
        ("edgenet_nano", (65, 97), (9, 13)),
        ("edgenet_nano", (8, 8), (1, 1)),
        ("edgenet_small", (65, 97), (17, 25)),
        ("edgenet_small", (8, 8), (2, 2)),
        ("erfnet", (64, 96), (64, 96)),
        ("erfnet", (8, 40), (8, 40)),
        ("espnetv2", (64, 96), (32, 48)),
        ("espnetv2", (45, 71), (23, 36)),
        ("espnetv2", (8, 8), (4, 4)),
        ("contextnet", (45, 71), (6, 9)),
        ("contextnet", (8, 8), (1, 1)),
        ("cgnet", (45, 71), (6, 9)),
        ("cgnet", (8, 8), (1, 1)),
        ("dabnet", (45, 71), (6, 9)),
        ("dabnet", (8, 8), (1, 1)),
        ("lednet", (45, 71), (6, 9)),
        ("lednet", (8, 8), (1, 1)),
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
        ("deeplab_v3", (33, 48), (3, 3)),
        ("deeplab_v3_mobilenet", (65, 97), (5, 7)),
        ("deeplab_v3_plus", (64, 96), (16, 24)),
        ("deeplab_v3_plus", (45, 71), (12, 18)),
        ("pspnet", (33, 48), (5, 6)),
        ("gcn", (33, 48), (33, 48)),
        ("encnet", (33, 48), (5, 6)),
        ("lraspp", (64, 96), (8, 12)),
        ("lraspp_mobilenet_v2", (45, 71), (6, 9)),
        ("hrnet_w18_small", (65, 97), (17, 25)),
        ("hrnet_w18_small", (8, 8), (2, 2)),
        ("hrnet_w18_small_v2", (64, 96), (16, 24)),
        ("segformer_b0", (65, 97), (17, 25)),
        ("segformer_b0", (32, 40), (8, 10)),
        ("image_pyramid", (64, 96), (8, 12)),
        ("image_pyramid", (45, 71), (6, 9)),
        ("bisenet_v2", (64, 96), (8, 12)),
        ("bisenet_v2", (45, 71), (6, 9)),
        ("stdc1", (64, 96), (8, 12)),
        ("stdc1", (45, 71), (6, 9)),
        ("ddrnet_23_slim", (64, 96), (8, 12)),
        ("ddrnet_23_slim", (45, 71), (6, 9)),
        ("pidnet_s", (64, 96), (8, 12)),
        ("pidnet_s", (45, 71), (6, 9)),
        ("regseg", (64, 96), (16, 24)),
        ("regseg", (45, 71), (12, 18)),
        ("pp_liteseg_t", (64, 96), (8, 12)),
        ("pp_liteseg_t", (45, 71), (6, 9)),
        ("letnet", (64, 96), (32, 48)),
        ("letnet", (45, 71), (23, 36)),
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
    images = torch.rand(1, 3, 32, 64)
    features = network.features(images)
    assert tuple(tap.shape[1] for tap in features.taps) == network.tap_channels
    torch.testing.assert_close(features.logits, network(images))


@pytest.mark.parametrize("name", network_names())
def test_every_parameter_learns(name):
    network = build(name, 4, LIGHTER.get(name)).train()
    network(torch.rand(2, 3, 32, 64)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("size", [(60, 96), (64, 100)])
def test_enet_says_which_sizes_it_takes(size):
    with pytest.raises(InputError, match=rf"ENet cannot take images of {size[1]}x{size[0]}.*multiples of 8"):
        build("enet", 4).check_size(size)
    build("enet", 4).check_size((64, 96))
    build("fast_scnn", 4).check_size(size)


@pytest.mark.parametrize("name", ["deeplab_v3", "deeplab_v3_plus", "pspnet", "encnet", "lraspp"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.no_grad()
def test_the_backbone_of_a_network_can_be_another_and_have_any_output_stride(name, output_stride):
    network = build(name, 4, {"backbone": "mobilenet_v2", "output_stride": output_stride}).eval()
    images = torch.rand(1, 3, 64, 96)
    features = network.features(images)
    assert network.backbone(images)[-1].shape[2:] == (64 // output_stride, 96 // output_stride)
    assert features.logits.shape == (1, 4, 64 // network.stride, 96 // network.stride)
    assert tuple(tap.shape[1] for tap in features.taps) == network.tap_channels
    if name not in ("deeplab_v3_plus", "lraspp"):
        assert network.stride == output_stride


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("gcn", {"kernel": 8}, r"the kernel of gcn is 8\. Use an odd number"),
        ("pspnet", {"output_stride": 4}, r"a backbone of output stride 4\. Use 8 or 16 or 32"),
        ("lraspp", {"backbone": "vgg"}, r"no backbone 'vgg'"),
    ],
)
def test_what_a_network_cannot_be_made_with(name, args, message):
    with pytest.raises(InputError, match=message):
        build(name, 4, args)


@torch.no_grad()
def test_the_large_kernel_of_gcn_sees_that_far():
    score = GlobalConvolution(1, 1, 7)
    for weights in score.parameters():
        nn.init.constant_(weights, float(weights.dim() > 1))
    dot = torch.zeros(1, 1, 15, 15)
    dot[..., 7, 7] = 1
    wanted = torch.zeros(1, 1, 15, 15)
    wanted[..., 4:11, 4:11] = 2
    torch.testing.assert_close(score(dot), wanted)


@torch.no_grad()
def test_the_encoding_layer_is_its_equation():
    encoding = Encoding(5, 3).double()
    features = torch.rand(2, 5, 4, 6).double()
    wanted = torch.zeros(2, 3, 5).double()
    for number, pixel in ((n, features[n, :, y, x]) for n in range(2) for y in range(4) for x in range(6)):
        residuals = pixel - encoding.codewords
        weights = (encoding.smoothing * residuals.square().sum(1)).softmax(0)
        wanted[number] += weights[:, None] * residuals
    torch.testing.assert_close(encoding(features), wanted)


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


@pytest.mark.parametrize(("context", "size"), [(2, (4, 6)), (4, (2, 3)), (8, (1, 2))])
@torch.no_grad()
def test_contextnet_looks_at_the_whole_in_smaller_or_larger(context, size):
    network = build("contextnet", 4, {"context": context}).eval()
    logits, (detail, whole) = network.features(torch.rand(1, 3, 64, 96))
    assert logits.shape[2:] == detail.shape[2:] == (8, 12)
    assert whole.shape[2:] == size


def test_contextnet_says_by_what_it_looks_smaller():
    with pytest.raises(InputError, match=r"the context of contextnet is 3\. Use 2, 4 or 8"):
        build("contextnet", 4, {"context": 3})


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
