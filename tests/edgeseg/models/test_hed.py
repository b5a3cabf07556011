"""HED's side outputs, and what it fuses of them."""

from __future__ import annotations

import torch

from edgeseg.models.network import count_parameters
from edgeseg.models.registry import build


def test_with_one_class_it_has_the_parameters_of_the_network_of_edges():
    with torch.device("meta"):
        network = build("hed", 1)
    assert count_parameters(network) == 14_716_171


@torch.no_grad()
def test_each_class_is_fused_from_its_own_side_outputs():
    network = build("hed", 3).eval()
    images = torch.rand(2, 3, 33, 45)
    logits, sides = network.features(images)
    assert [side.shape for side in sides] == 5 * [(2, 3, 33, 45)]
    torch.testing.assert_close(logits, torch.stack(sides).mean(dim=0))  # as it begins
    network.fusion.weight[1] = torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0]).reshape(5, 1, 1)
    torch.testing.assert_close(network(images)[:, 1], sides[0][:, 1] + 2 * sides[2][:, 1])
