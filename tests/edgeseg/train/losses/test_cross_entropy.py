from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from cases_of_losses import WEIGHTS, random_case

from edgeseg.train.losses.cross_entropy import log_class_weights, ohem_cross_entropy


def logits_of_confidence(probability, labels):
    """Logits of two classes that give the true class of each pixel that probability."""
    margin = torch.log(probability / (1 - probability))
    return F.one_hot(labels, 2).movedim(-1, 1) * margin.unsqueeze(1)


def test_at_threshold_1_it_is_weighted_cross_entropy():
    logits, labels = random_case()
    torch.testing.assert_close(
        ohem_cross_entropy(logits, labels, WEIGHTS, 1.0), F.cross_entropy(logits, labels, WEIGHTS, ignore_index=255)
    )


def test_below_it_only_pixels_less_certain_than_the_threshold_count():
    labels = torch.randint(0, 2, (1, 8, 8), generator=torch.Generator().manual_seed(0))
    confidence = torch.full((1, 8, 8), 0.9)
    confidence[:, :2] = 0.3
    loss = ohem_cross_entropy(logits_of_confidence(confidence, labels), labels, torch.ones(2), 0.7)
    assert loss.item() == pytest.approx(-math.log(0.3))


def test_if_few_are_hard_the_hardest_sixteenth_counts():
    confidence = torch.linspace(0.8, 0.99, 64).reshape(1, 8, 8)
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    loss = ohem_cross_entropy(logits_of_confidence(confidence, labels), labels, torch.ones(2), 0.7)
    assert loss.item() == pytest.approx(-confidence.flatten()[:4].log().mean().item(), rel=1e-5)


@pytest.mark.parametrize("threshold", [1.0, 0.7])
def test_pixels_without_a_label_change_nothing(threshold):
    logits, labels = random_case()
    changed = logits.detach().clone()
    changed[:, :, :2] = 100 * torch.randn(2, 3, 2, 8)
    torch.testing.assert_close(
        ohem_cross_entropy(logits, labels, WEIGHTS, threshold), ohem_cross_entropy(changed, labels, WEIGHTS, threshold)
    )


@pytest.mark.parametrize("threshold", [1.0, 0.7])
def test_a_batch_without_labels_is_zero_and_harmless(threshold):
    logits, labels = random_case()
    loss = ohem_cross_entropy(logits, torch.full_like(labels, 255), WEIGHTS, threshold)
    assert loss.item() == 0
    loss.backward()
    assert not logits.grad.any()


def test_class_weights_have_the_form_of_enets():
    weights = log_class_weights(torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64))
    assert weights.tolist() == pytest.approx([1 / math.log(1.10), 1 / math.log(1.35), 1 / math.log(2.10)])
