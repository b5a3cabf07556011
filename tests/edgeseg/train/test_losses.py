from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from edgeseg.train.losses import SegmentationLoss, dice_loss, log_class_weights, ohem_cross_entropy

WEIGHTS = torch.tensor([1.0, 3.0, 0.5])


def random_case(seed=0, size=(8, 8)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, *size, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (2, *size), generator=generator)
    labels[:, :2] = 255
    return logits, labels


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


def test_dice_loss_is_one_minus_the_mean_dice_of_certain_predictions():
    labels = torch.tensor([[[0, 0, 0, 1], [0, 0, 1, 255]]])
    predicted = torch.tensor([[[0, 0, 1, 1], [0, 0, 0, 2]]])
    logits = 50 * F.one_hot(predicted, 3).movedim(-1, 1).float()
    # class 0: 4 common of 5 and 5; class 1: 1 common of 2 and 2; class 2 is nowhere, as what lies under 255 is not seen
    assert dice_loss(logits, labels).item() == pytest.approx(1 - (8 / 10 + 2 / 4) / 2)


def test_dice_loss_weighs_a_thin_class_as_much_as_a_wide_one():
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    labels[:, :, 0] = 1
    missed = dice_loss(50 * F.one_hot(torch.zeros_like(labels), 2).movedim(-1, 1).float(), labels)
    assert missed > 0.5  # a tenth of the pixels, half of the classes


def test_dice_loss_ignores_pixels_without_a_label():
    logits, labels = random_case()
    changed = logits.detach().clone()
    changed[:, :, :2] = 100 * torch.randn(2, 3, 2, 8)
    torch.testing.assert_close(dice_loss(logits, labels), dice_loss(changed, labels))
    nothing = dice_loss(logits, torch.full_like(labels, 255))
    nothing.backward()
    assert nothing.item() == 0
    assert not logits.grad.any()


def test_class_weights_have_the_form_of_enets():
    weights = log_class_weights(torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64))
    assert weights.tolist() == pytest.approx([1 / math.log(1.10), 1 / math.log(1.35), 1 / math.log(2.10)])


def test_auxiliary_losses_add_their_share_at_their_own_resolution():
    logits, labels = random_case(size=(16, 24))
    aux = torch.randn(2, 3, 4, 6)
    main = SegmentationLoss(WEIGHTS, ohem_threshold=1.0, dice_weight=0.0, aux_weight=0.4, stride=1)
    # the centre of each 4x4 cell, which "nearest" takes
    expected = main(logits, [], labels) + 0.4 * F.cross_entropy(aux, labels[:, 2::4, 2::4], WEIGHTS, ignore_index=255)
    torch.testing.assert_close(main(logits, [aux], labels), expected)


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_right_logits_cost_little_and_wrong_ones_much_at_any_stride(stride, dice_weight):
    labels = torch.zeros(1, 32, 48, dtype=torch.long)
    labels[:, :, 24:] = 1
    logits = 20 * F.one_hot(labels, 2).movedim(-1, 1).float()
    loss = SegmentationLoss(torch.ones(2), ohem_threshold=1.0, dice_weight=dice_weight, aux_weight=0.0, stride=stride)
    assert loss(logits, [], labels) < 1e-3
    assert loss(logits[:, :, ::8, ::8], [], labels) < 1.0
    assert loss(logits, [], 1 - labels) > 10
