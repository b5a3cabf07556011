from __future__ import annotations

import pytest
import torch
from cases_of_losses import WEIGHTS, random_case

from edgeseg.train.losses.balanced import Balanced


def test_it_is_the_loss_of_hed():
    """Equation 2, for each picture its own share of edges, over the sum of the weights."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 6, 7, generator=generator)
    edges = torch.rand(2, 6, 7, generator=generator) < torch.tensor([0.1, 0.4])[:, None, None]
    probability = torch.sigmoid(logits[:, 1] - logits[:, 0])
    total = weight = 0.0
    for said, edge in zip(probability, edges, strict=True):
        beta = (~edge).sum() / edge.numel()
        total -= beta * said[edge].log().sum() + (1 - beta) * (1 - said[~edge]).log().sum()
        weight += beta * edge.sum() + (1 - beta) * (~edge).sum()
    assert Balanced(WEIGHTS[:2])(logits, edges.long()).item() == pytest.approx((total / weight).item(), rel=1e-5)


def test_classes_of_a_picture_weigh_the_less_the_more_pixels_they_have():
    labels = torch.tensor([[[0, 0, 0, 0, 0, 1, 1, 1, 2, 255]]])
    logits = torch.zeros(1, 3, 1, 10, requires_grad=True)
    Balanced(WEIGHTS)(logits, labels).backward()
    pull = -logits.grad.gather(1, labels.clamp_max(2)[:, None])[0, 0, 0]
    assert (pull / pull[0]).tolist() == pytest.approx([1] * 5 + [6 / 4] * 3 + [8 / 4, 0], rel=1e-5)


def test_pictures_of_one_class_and_without_labels_cost_nothing():
    logits, labels = random_case()
    for same in (torch.full_like(labels, 255), torch.ones_like(labels)):
        logits.grad = None
        loss = Balanced(WEIGHTS)(logits, same)
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()
