"""The image pyramid: one network at several scales, with its own arguments, sizes and backbone."""

from __future__ import annotations

import pytest
import torch

from edgeseg.errors import InputError, ModelError
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import resize
from edgeseg.models.network import count_parameters
from edgeseg.models.registry import build
from edgeseg.train.transfer import start_from


@torch.no_grad()
def test_it_begins_as_the_mean_of_the_network_at_each_scale():
    pyramid = build("image_pyramid", 4, {"network": "fast_scnn", "scales": 3, "width": 0.25}).eval()
    within = pyramid.network
    images = torch.rand(1, 3, 64, 96)
    half = torch.nn.functional.avg_pool2d(images, 2)
    quarter = torch.nn.functional.avg_pool2d(images, 4)
    logits = [resize(within(scale), (8, 12)) for scale in (images, half, quarter)]
    torch.testing.assert_close(pyramid(images), torch.stack(logits).mean(0))


def test_scales_share_their_weights():
    sizes = [count_parameters(build("image_pyramid", 4, {"scales": scales})) for scales in (1, 2, 4)]
    assert sizes == [count_parameters(build("fast_scnn", 4)) + scales * 4 * 4 + 4 for scales in (1, 2, 4)]


def test_it_is_as_the_network_within():
    pyramid = build("image_pyramid", 4, {"network": "edgenet", "backbone": "mobilenet_v3_small", "channels": 32})
    assert pyramid.stride == 4
    assert pyramid.tap_channels == (32, 32)
    assert pyramid.backbone_name == "mobilenet_v3_small"
    assert not hasattr(build("image_pyramid", 4), "backbone")


def test_the_backbone_within_takes_weights(tmp_path):
    backbone = build_backbone("mobilenet_v3_small", 16)
    torch.save(backbone.state_dict(), tmp_path / "their.pth")
    args = {"network": "edgenet", "backbone": "mobilenet_v3_small", "channels": 16}
    pyramid = build("image_pyramid", 4, args)
    done = start_from(pyramid, str(tmp_path / "their.pth"), 4)
    theirs = backbone.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in pyramid.backbone.state_dict().items())
    assert all(name.startswith("network.backbone.") for name in done.taken)


def test_sizes_must_divide_at_every_scale():
    pyramid = build("image_pyramid", 4, {"network": "enet", "scales": 3})
    pyramid.check_size((64, 96))
    with pytest.raises(InputError, match=r"ImagePyramid cannot take images of 96x72.*multiples of 32"):
        pyramid.check_size((72, 96))
    with pytest.raises(InputError, match=r"SegFormer cannot take images of 24x16.*at least 32"):
        build("image_pyramid", 4, {"network": "segformer_b0"}).check_size((64, 96))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"scales": 0}, r"the scales of image_pyramid are 0\. Use 1 to 5"),
        ({"scales": 6}, r"the scales of image_pyramid are 6\. Use 1 to 5"),
        ({"scales": "many"}, "image_pyramid cannot be made with"),
        ({"depth": 3}, r"fast_scnn takes no argument depth\. Use width"),
        ({"network": "enet", "width": 2}, r"enet takes no argument width\. Leave them out"),
        ({"num_classes": 3}, "image_pyramid cannot be made with"),
    ],
)
def test_what_cannot_be_built_is_told(args, message):
    with pytest.raises(InputError, match=message):
        build("image_pyramid", 4, args)


@pytest.mark.parametrize("name", ["none", 3])
def test_no_such_network(name):
    with pytest.raises(ModelError, match=f"there is no network '{name}'"):
        build("image_pyramid", 4, {"network": name})
