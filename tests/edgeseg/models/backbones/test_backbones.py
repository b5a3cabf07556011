"""What every backbone promises: features at each stride, and as many parameters as the reference."""

from __future__ import annotations

import pytest
import torch

from edgeseg.errors import InputError
from edgeseg.models.backbones.registry import BACKBONES, build_backbone
from edgeseg.models.network import count_parameters
from edgeseg.models.registry import build

PARAMETERS = {
    "efficientnet_lite0": 4_652_008 - 320 * 1280 - 2 * 1280 - 1281 * 1000,
    "mobilenet_v2": 3_504_872 - 320 * 1280 - 2 * 1280 - 1281 * 1000,
    "mobilenet_v3_large": 5_483_032 - 160 * 960 - 2 * 960 - 961 * 1280 - 1281 * 1000,
    "mobilenet_v3_small": 2_542_856 - 96 * 576 - 2 * 576 - 577 * 1024 - 1025 * 1000,
    "resnet18": 11_689_512 - 513 * 1000,
    "resnet34": 21_797_672 - 513 * 1000,
    "resnet50": 25_557_032 - 2049 * 1000,
    "resnet101": 44_549_160 - 2049 * 1000,
    "vgg16": 138_357_544 - (512 * 7 * 7 + 1) * 4096 - 4097 * 4096 - 4097 * 1000,
    "vgg16_bn": 138_365_992 - (512 * 7 * 7 + 1) * 4096 - 4097 * 4096 - 4097 * 1000,
}
"""Of the published classifier, without what lies behind the features at stride 32."""


@pytest.mark.parametrize("name", BACKBONES)
def test_parameters_are_those_of_the_published_classifier(name):
    assert count_parameters(build_backbone(name)) == PARAMETERS[name]


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_features_at_every_stride(name, stride):
    backbone = build_backbone(name, stride).eval()
    features = backbone(torch.rand(1, 3, 65, 96))
    strides = [2**power for power in range(1, stride.bit_length())]
    assert [(one.shape[2], one.shape[3]) for one in features] == [(-(-65 // s), 96 // s) for s in strides]
    assert tuple(one.shape[1] for one in features) == backbone.channels


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_an_output_stride_keeps_weights_and_the_features_up_to_it(name, output_stride):
    torch.manual_seed(0)
    strided, dilated = build_backbone(name).eval(), build_backbone(name, output_stride=output_stride).eval()
    dilated.load_state_dict(strided.state_dict())
    assert dilated.channels == strided.channels
    for one, other in zip(strided(images := torch.rand(1, 3, 64, 96)), dilated(images), strict=True):
        stride = 64 // one.shape[2]
        size = 64 // min(stride, output_stride), 96 // min(stride, output_stride)
        assert (other.shape[2], other.shape[3]) == size
        if stride <= output_stride:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
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
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "resnet18"])
@torch.no_grad()
def test_a_network_is_built_upon_any(name, context):
    network = build("edgenet", 4, {"backbone": name, "context": context, "channels": 32}).eval()
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 4, 16, 24)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"backbone": "vgg"}, "there is no backbone 'vgg'. Use efficientnet_lite0, mobilenet_v2"),
        ({"context": "none"}, "the context of edgenet is 'none'. Use pyramid or atrous"),
        ({"channels": 40}, "the channels of edgenet are 40. Use a multiple of 16"),
    ],
)
def test_what_cannot_be_built_is_told(args, message):
    with pytest.raises(InputError) as caught:
        build("edgenet", 4, args)
    assert message in str(caught.value)
