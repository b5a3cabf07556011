from __future__ import annotations

import pytest
import torch
from cases_of_losses import WEIGHTS, certain

from edgeseg.train.losses.dice import Dice


def test_it_is_one_minus_the_mean_dice_of_certain_predictions():
    labels = torch.tensor([[[0, 0, 0, 1], [0, 0, 1, 255]]])
    predicted = torch.tensor([[[0, 0, 1, 1], [0, 0, 0, 2]]])
    # class 0: 4 common of 5 and 5; class 1: 1 common of 2 and 2; class 2 is nowhere, as what lies under 255 is not seen
    assert Dice(WEIGHTS)(certain(predicted, 3), labels).item() == pytest.approx(1 - (8 / 10 + 2 / 4) / 2)


def test_it_weighs_a_thin_class_as_much_as_a_wide_one():
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    labels[:, :, 0] = 1
    missed = Dice(WEIGHTS)(certain(torch.zeros_like(labels), 2), labels)
    assert missed > 0.5  # a tenth of the pixels, half of the classes
