"""ESPNetv2's scales against the reference's counts, and its pooling against PyTorch's own, which ONNX has not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeseg.errors import InputError
from edgeseg.models.espnetv2 import _pool
from edgeseg.models.network import count_parameters
from edgeseg.models.registry import build

PARAMETERS = {0.5: 75_888 - 112, 1: 228_916 - 224, 1.25: 337_692 - 288, 1.5: 462_628 - 352, 2: 782_868 - 480}
"""Of EdgeNets' at 11 classes, without those that no image passes."""


@pytest.mark.parametrize("scale", PARAMETERS)
def test_parameters_of_each_scale(scale):
    assert count_parameters(build("espnetv2", 11, {"scale": scale})) == PARAMETERS[scale]


@pytest.mark.parametrize("size", [(6, 8), (5, 5), (9, 12), (13, 18)])
@pytest.mark.parametrize("bins", [(6, 8), (5, 5), (3, 4), (7, 9), (15, 20)])
def test_pooling_is_pytorchs(size, bins):
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(_pool(x, bins), F.adaptive_avg_pool2d(x, bins))


@pytest.mark.parametrize("classes", [1, 2, 40])
@torch.no_grad()
def test_any_number_of_classes(classes):
    assert build("espnetv2", classes, {"scale": 0.5}).eval()(torch.rand(1, 3, 32, 48)).shape == (1, classes, 16, 24)


def test_the_channels_of_its_pyramids_are_those_of_other_classes():
    shapes = [
        {name: value.shape for name, value in build("espnetv2", classes, args).state_dict().items()}
        for classes, args in ((20, {"scale": 0.5}), (11, {"scale": 0.5, "pyramid": 10}))
    ]
    differing = {name for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    assert differing == {"pyramids.3.expand.weight", "pyramids.3.expand.bias"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"scale": 3}, r"the scale of espnetv2 is 3\. Use 0\.5, 1\.0, 1\.25, 1\.5, 2\.0"),
        ({"scale": "wide"}, "the scale of espnetv2 is wide"),
        ({"pyramid": -1}, "the pyramid of espnetv2 has -1 channels"),
    ],
)
def test_what_it_cannot_be_made_with(args, message):
    with pytest.raises(InputError, match=message):
        build("espnetv2", 4, args)
