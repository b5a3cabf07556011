from __future__ import annotations

import pytest
import torch
from cases_of_losses import WEIGHTS, certain, random_case

from edgeseg.train.losses.lovasz import LovaszSoftmax


def test_it_is_one_minus_the_mean_iou_of_certain_predictions():
    labels = torch.tensor([[[0, 0, 0, 1], [0, 0, 1, 255]]])
    predicted = torch.tensor([[[0, 0, 1, 1], [0, 0, 0, 2]]])
    # class 0: 4 common of 6; class 1: 1 common of 3; class 2 is nowhere, as what lies under 255 is not seen
    assert LovaszSoftmax(WEIGHTS)(certain(predicted, 3), labels).item() == pytest.approx(1 - (4 / 6 + 1 / 3) / 2)


def test_it_is_the_sum_of_the_papers_definition():
    """Equation 9 written as a loop: errors from the largest down, each times what the set of errors so far adds."""
    logits, labels = random_case()
    probabilities, losses = logits.softmax(1), []
    for index in range(3):
        pixels = [(n, y, x) for n in range(2) for y in range(8) for x in range(8) if labels[n, y, x] != 255]
        truth = {pixel: float(labels[pixel].item() == index) for pixel in pixels}
        error = {pixel: abs(truth[pixel] - probabilities[pixel[0], index, pixel[1], pixel[2]]) for pixel in pixels}
        wrong: set[tuple[int, int, int]] = set()
        before, loss = 0.0, 0.0
        for pixel in sorted(pixels, key=lambda pixel: -error[pixel]):
            wrong.add(pixel)
            inside = {pixel for pixel in pixels if truth[pixel] == 1}
            jaccard = 1 - len(inside - wrong) / len(inside | wrong)
            loss += error[pixel] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    assert LovaszSoftmax(WEIGHTS)(logits, labels).item() == pytest.approx((sum(losses) / 3).item(), rel=1e-5)
