"""Receptive fields: small stacks by hand, what the literature says of trunks, and what gradients reach."""

from __future__ import annotations

import pytest
import torch
from functions import Function
from torch import nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import GlobalAverage, resize, unpool, window_argmax
from edgeseg.models.receptive_field import receptive_field
from edgeseg.models.registry import build
from edgeseg.models.trace import trace

SIZE = (96, 128)


def conv(kernel=3, stride=1, dilation=1, channels=3):
    return nn.Conv2d(channels, 3, kernel, stride, dilation * (kernel // 2), dilation)


def seen(*modules, size=SIZE):
    return receptive_field(trace(nn.Sequential(*modules), size))


def vgg16(poolings):
    """The convolutions of column D, with so many of its poolings."""
    modules = []
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        modules += [conv() for _ in range(count)]
        modules += [nn.MaxPool2d(2)] * (stage < poolings)
    return modules


@pytest.mark.parametrize(
    ("modules", "height", "width"),
    [
        ([nn.ReLU()], 1, 1),
        ([conv()], 3, 3),
        ([conv(), nn.BatchNorm2d(3), nn.PReLU(3), conv()], 5, 5),
        ([conv(3, 2), conv(3, 2), conv()], 3 + 2 * 2 + 2 * 4, 15),
        ([nn.MaxPool2d(2), conv()], 2 + 2 * 2, 6),
        ([nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1, 2)], 3 + 4 * 2, 11),
        ([conv(3, dilation=4), conv(5, dilation=2)], 9 + 8, 17),
        ([nn.Conv2d(3, 3, (3, 1)), nn.Conv2d(3, 3, (1, 5))], 3, 5),
        ([nn.Conv2d(3, 3, (3, 5), (1, 2)), conv()], 3 + 2, 5 + 2 * 2),
        ([conv(3, 2), nn.ConvTranspose2d(3, 3, 2, 2), conv()], 3 + 2, 5),
        ([conv(3, 4), nn.ConvTranspose2d(3, 3, 4, 2, 1), conv()], 3 + 4 + 2 * 2, 11),
        ([conv(3, 2), nn.Upsample(scale_factor=2), conv()], 3 + 2, 5),
        ([conv(3, 2), nn.Upsample(scale_factor=2, mode="bilinear"), conv()], 3 + 2 + 2, 7),
        ([nn.PixelUnshuffle(2), conv(channels=12)], 2 + 2 * 2, 6),
        ([conv(3, 2), Function(lambda x: nn.functional.pad(x, (1, 1, 1, 1))[..., 1:, 2:]), conv()], 3 + 4, 7),
        ([conv(3, 2), Function(lambda x: x[:, :, ::2, :]), conv()], 3 + 2 * 4, 3 + 2 * 2),
    ],
)
def test_stacks(modules, height, width):
    assert seen(*modules) == (height, width, False)


def test_the_longest_path_counts():
    paths = Function(lambda x, short, long: torch.cat([short(x) + x, long(x)], dim=1), conv(), conv(3, dilation=5))
    assert seen(paths, conv(channels=6)) == (11 + 2, 13, False)


def test_windows_that_are_reshaped_are_those_of_a_pooling():
    maxima = Function(lambda x: window_argmax(x)[0])
    assert seen(maxima, conv()) == seen(nn.MaxPool2d(2), conv()) == (6, 6, False)
    there_and_back = Function(lambda x: unpool(*window_argmax(x)))
    assert seen(there_and_back, conv()) == (2 + 2, 4, False)


def test_the_whole_picture_is_seen_by_pooling_over_it_and_said_beside_the_rest():
    gate = Function(lambda x, average, inner: x * torch.sigmoid(inner(average(x))), GlobalAverage(), conv(1))
    assert seen(conv(3, 2), gate, conv()) == (3 + 4, 7, True)
    mean = Function(lambda x: x - x.mean(dim=(2, 3), keepdim=True))
    assert seen(mean, conv()) == (3, 3, True)
    rows = Function(lambda x: x - x.mean(dim=3, keepdim=True))
    assert seen(rows, conv()) == (3, 3, False)  # the whole width is not the whole picture


def test_tokens_that_attend_to_each_other_see_the_whole_picture():
    def attention(x):
        tokens = x.flatten(2).transpose(1, 2)
        weights = (tokens @ tokens.transpose(1, 2)).softmax(dim=-1)
        return (weights @ tokens).transpose(1, 2).reshape(x.shape)

    assert seen(conv(3, 4), Function(attention), conv()) == (3 + 2 * 4, 11, True)


@pytest.mark.parametrize(("poolings", "pixels"), [(4, 196), (5, 212)])
def test_vgg16(poolings, pixels):
    assert seen(*vgg16(poolings)) == (pixels, pixels, False)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("vgg16", 212), ("resnet18", 435), ("resnet50", 427), ("resnet101", 971), ("mobilenet_v2", 491)],
)
def test_trunks(name, pixels):
    with torch.device("meta"):
        trunk = Function(lambda x, backbone: backbone(x)[-1], build_backbone(name))
    assert seen(trunk) == (pixels, pixels, False)


def test_gradients_reach_just_as_far():
    stack = nn.Sequential(
        *(conv(3, 2), nn.AvgPool2d(3, 2, 1), conv(3, dilation=3)),
        *(nn.Conv2d(3, 3, (1, 5), padding=(0, 2)), nn.AvgPool2d(2)),
    )
    for parameter in stack.parameters():
        nn.init.ones_(parameter)
    picture = torch.rand(1, 3, *SIZE, requires_grad=True)
    logits = stack(picture)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    reached = picture.grad[0, 0].nonzero()
    height, width = (reached.max(0).values - reached.min(0).values + 1).tolist()
    assert seen(*stack) == (height, width, False)


def test_an_operation_that_is_not_known_leaves_the_field_unknown():
    assert seen(Function(lambda x: x.roll(5, dims=2))) is None


def test_networks_with_attention_or_pooled_context_see_all():
    with torch.device("meta"):
        fields = {name: receptive_field(trace(build(name, 11), (96, 128))) for name in ("segformer_b0", "enet", "unet")}
    assert fields["segformer_b0"].whole
    assert not fields["enet"].whole
    assert not fields["unet"].whole


def test_resizing_to_the_same_size_sees_nothing_more():
    assert seen(conv(), Function(lambda x: resize(x, SIZE))) == (3, 3, False)
