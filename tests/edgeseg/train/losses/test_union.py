from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from cases_of_losses import certain, random_case

from edgeseg.train.losses.union import UnionLoss

UNIONS = ((0, 1), (1, 2))


def test_it_is_the_logarithm_of_what_the_classes_have_together():
    logits, labels = random_case()
    labels[:, 4] = 3
    labels[:, 5] = 4
    probabilities = logits.softmax(1)
    expected = -(probabilities[:, :2, 4].sum(1).log().sum() + probabilities[:, 1:, 5].sum(1).log().sum())
    torch.testing.assert_close(UnionLoss(3, UNIONS)(logits, labels), expected / (labels != 255).sum())


@pytest.mark.parametrize(("said", "expected"), [(0, 0), (1, 0), (2, 50)])
def test_any_class_of_the_union_costs_nothing_and_another_one_much(said, expected):
    labels = torch.full((1, 4, 4), 3)
    lost = UnionLoss(3, UNIONS)(certain(torch.full((1, 4, 4), said), 3), labels)
    assert lost.item() == pytest.approx(expected - (math.log(2) if expected else 0), abs=1e-4)


def test_beside_cross_entropy_a_union_of_one_class_is_that_class():
    logits, labels = random_case()
    whole = F.cross_entropy(logits, labels, ignore_index=255)
    apart = torch.where(labels == 2, 3, labels)
    loss = UnionLoss(3, ((2,),))
    own = F.cross_entropy(logits, loss.classes_alone(apart), ignore_index=255)
    share = (labels < 2).sum() / (labels != 255).sum()
    torch.testing.assert_close(loss(logits, apart) + share * own, whole)


def test_without_unions_it_is_zero_and_harmless():
    logits, labels = random_case()
    lost = UnionLoss(3, UNIONS)(logits, labels)
    lost.backward()
    assert lost.item() == 0
    assert not logits.grad.any()
    nothing = UnionLoss(3, UNIONS)(logits, torch.full_like(labels, 255))
    assert nothing.item() == 0
