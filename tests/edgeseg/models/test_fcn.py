"""FCN's upsampling: bilinear until it has learned, or left to others."""

from __future__ import annotations

import pytest
import torch

from edgeseg.errors import InputError
from edgeseg.models.blocks import resize
from edgeseg.models.fcn import Upsampling
from edgeseg.models.registry import build

LIGHT = {"fc_channels": 32}


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
@torch.no_grad()
def test_upsampling_begins_as_bilinear(factor):
    scores = torch.rand(1, 3, 4, 5)
    upsampled, bilinear = Upsampling(3, factor)(scores), resize(scores, (4 * factor, 5 * factor))
    assert upsampled.shape == bilinear.shape
    inside = (..., slice(factor, -factor), slice(factor, -factor))  # beyond the border are zeros, or the border again
    torch.testing.assert_close(upsampled[inside], bilinear[inside])


@pytest.mark.parametrize("stride", [8, 16, 32])
@torch.no_grad()
def test_the_last_upsampling_can_be_left_to_others(stride):
    name, images = f"fcn_{stride}s", torch.rand(1, 3, 96, 128)
    whole, left = build(name, 3, LIGHT).eval(), build(name, 3, {**LIGHT, "upsampled": False}).eval()
    assert (whole.stride, left.stride) == (1, stride)
    assert left.load_state_dict(whole.state_dict(), strict=False).unexpected_keys == ["upsampling.weight"]
    logits = left(images)
    assert logits.shape == (1, 3, 96 // stride, 128 // stride)
    inside = (..., slice(stride, -stride), slice(stride, -stride))
    torch.testing.assert_close(whole(images)[inside], resize(logits, (96, 128))[inside])


def test_another_stride_is_refused():
    with pytest.raises(InputError, match=r"the finest stride of fcn is 4\. Use 8, 16 or 32"):
        build("fcn_8s", 3, {"finest": 4})
