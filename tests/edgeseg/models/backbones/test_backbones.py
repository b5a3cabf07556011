"""What every backbone promises: features at each stride, and as many parameters as the reference."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.registry import BACKBONES, build_backbone
from edgeseg.models.network import count_parameters
from edgeseg.models.registry import build

LITE0 = 4_652_008 - 320 * 1280 - 2 * 1280 - 1281 * 1000

PARAMETERS = {
    "edge_base": LITE0 - (192 * 1152 + 1152 * 9 + 1152 * 320 + 2 * (2 * 1152 + 320)),
    "edge_nano": 116_752,
    "edge_small": 595_376,
    "efficientnet_lite0": LITE0,
    "hrnet_w18_small": 1_538_891 - (240 * 240 + 240 + 2 * 240) - 241 * 11,
    "hrnet_w18_small_v2": 3_937_411 - (270 * 270 + 270 + 2 * 270) - 271 * 11,
    "mit_b0": 3_716_971 - (512 + 4) * 256 - (1024 + 2) * 256 - 257 * 11,
    "mobilenet_v2": 3_504_872 - 320 * 1280 - 2 * 1280 - 1281 * 1000,
    "mobilenet_v3_large": 5_483_032 - 160 * 960 - 2 * 960 - 961 * 1280 - 1281 * 1000,
    "mobilenet_v3_small": 2_542_856 - 96 * 576 - 2 * 576 - 577 * 1024 - 1025 * 1000,
    "resnet18": 11_689_512 - 513 * 1000,
    "resnet34": 21_797_672 - 513 * 1000,
    "resnet50": 25_557_032 - 2049 * 1000,
    "resnet101": 44_549_160 - 2049 * 1000,
    "vgg16": 138_357_544 - (512 * 7 * 7 + 1) * 4096 - 4097 * 4096 - 4097 * 1000,
    "vgg16_bn": 138_365_992 - (512 * 7 * 7 + 1) * 4096 - 4097 * 4096 - 4097 * 1000,
    "resnet50s": 25_680_808 - 2049 * 1000,
    "stdc1": 8_443_552 - 2 * 1026 * 1024 - 1024 * 1000,
}
"""Of the published classifier, without what lies behind the features at stride 32; HRNet's and MiT's of the published
network for segmentation, without its head. edgeseg's own are counted as they are.
"""

SHORT = ("edge_nano", "edge_small")
"""Those that end at stride 16."""

UNDILATED = ("hrnet_w18_small", "hrnet_w18_small_v2", "mit_b0")
"""Those that have no other output stride than their last."""

WIDENED = {
    "efficientnet_lite0": 4_652_008 - 1281 * 1000,
    "mobilenet_v2": 3_504_872 - 1281 * 1000,
    "mobilenet_v3_large": 5_483_032 - 961 * 1280 - 1281 * 1000,
    "mobilenet_v3_small": 2_542_856 - 577 * 1024 - 1025 * 1000,
    "resnet18": PARAMETERS["resnet18"],
}
"""Of the published classifier, without what lies behind its average."""


@pytest.mark.parametrize("name", BACKBONES)
def test_parameters_are_those_of_the_published_classifier(name):
    assert count_parameters(build_backbone(name, 16 if name in SHORT else 32)) == PARAMETERS[name]


@pytest.mark.parametrize("name", WIDENED)
@torch.no_grad()
def test_widened_it_ends_with_what_the_classifier_takes_the_average_of(name):
    backbone, narrow = build_backbone(name, output_stride=16, widened=True).eval(), build_backbone(name)
    assert count_parameters(backbone) == WIDENED[name]
    features = backbone(torch.rand(1, 3, 64, 96))
    assert tuple(one.shape[1] for one in features) == backbone.channels
    assert backbone.channels[:-1] == narrow.channels[:-1]
    assert (backbone.channels[-1] > narrow.channels[-1]) == (name != "resnet18")
    assert features[-1].shape[2:] == (4, 6)
    assert len({(norm.eps, norm.momentum) for norm in backbone.modules() if isinstance(norm, nn.BatchNorm2d)}) == 1


@pytest.mark.parametrize(
    ("name", "stride"), [(name, stride) for name in BACKBONES for stride in ((16,) if name in SHORT else (16, 32))]
)
@torch.no_grad()
def test_features_at_every_stride(name, stride):
    backbone = build_backbone(name, stride).eval()
    features = backbone(torch.rand(1, 3, 65, 96))
    strides = [2**power for power in range(1, stride.bit_length())]
    sizes = [(-(-65 // s), 96 // s) for s in strides]
    assert [(one.shape[2], one.shape[3]) for one in features] == (sizes[1:] if name == "mit_b0" else sizes)
    assert tuple(one.shape[1] for one in features) == backbone.channels


@pytest.mark.parametrize("name", UNDILATED)
def test_what_has_no_output_stride_says_so(name):
    with pytest.raises(InputError, match=r"has no output stride 8: .*\. Leave it out"):
        build_backbone(name, output_stride=8)
    build_backbone(name, 16, 16)


@pytest.mark.parametrize("name", SHORT)
def test_what_ends_at_stride_16_says_so(name):
    with pytest.raises(InputError, match=r"edge_small and edge_nano end at stride 16\. Use edge_base"):
        build_backbone(name)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in UNDILATED])
@torch.no_grad()
def test_an_output_stride_keeps_weights_and_the_features_up_to_it(name, output_stride):
    torch.manual_seed(0)
    end = 16 if name in SHORT else 32
    strided, dilated = build_backbone(name, end).eval(), build_backbone(name, end, output_stride).eval()
    dilated.load_state_dict(strided.state_dict())
    assert dilated.channels == strided.channels
    for one, other in zip(strided(images := torch.rand(1, 3, 64, 96)), dilated(images), strict=True):
        stride = 64 // one.shape[2]
        size = 64 // min(stride, output_stride), 96 // min(stride, output_stride)
        assert (other.shape[2], other.shape[3]) == size
        if stride <= output_stride:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "stdc1"])
@torch.no_grad()
def test_dilation_computes_the_strided_features_and_those_between(name):
    torch.manual_seed(0)
    strided, dilated = build_backbone(name).eval(), build_backbone(name, output_stride=8).eval()
    dilated.load_state_dict(strided.state_dict())
    images = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(dilated(images)[-1][..., ::4, ::4], strided(images)[-1])


@torch.no_grad()
def test_features_of_vgg_do_not_fade_without_batch_normalisation():
    torch.manual_seed(0)
    features = build_backbone("vgg16")(torch.randn(1, 3, 64, 96))
    assert all(0.3 < one.square().mean() < 30 for one in features)


@pytest.mark.parametrize("context", ["pyramid", "atrous"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "resnet18", "hrnet_w18_small", "mit_b0"])
@torch.no_grad()
def test_a_network_is_built_upon_any(name, context):
    network = build("edgenet", 4, {"backbone": name, "context": context, "channels": 32}).eval()
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 4, 16, 24)


def test_output_strides_are_few():
    with pytest.raises(InputError, match=r"output stride 4\. Use 8 or 16 or 32"):
        build_backbone("resnet18", output_stride=4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"backbone": "vgg"}, "there is no backbone 'vgg'. Use edge_base, "),
        ({"context": "none"}, "the context of edgenet is 'none'. Use pyramid or atrous"),
        ({"channels": 40}, "the channels of edgenet are 40. Use a multiple of 16"),
        ({"fine_channels": 8}, "the channels of edgenet are 64 and 8. Use a multiple of 16"),
        ({"stride": 2}, "edgenet of strides 16 and 2. Use 16 or 32, and 4 or 8"),
        ({"context_stride": 8}, "edgenet of strides 8 and 4. Use 16 or 32, and 4 or 8"),
    ],
)
def test_what_cannot_be_built_is_told(args, message):
    with pytest.raises(InputError) as caught:
        build("edgenet", 4, args)
    assert message in str(caught.value)
