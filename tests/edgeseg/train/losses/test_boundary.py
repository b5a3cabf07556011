from __future__ import annotations

import pytest
import torch
from cases_of_losses import certain

from edgeseg.train.losses.boundary import Boundary

WEIGHTS = torch.ones(2)


def halves(column: int, width: int = 40) -> torch.Tensor:
    """Labels with a border before that column."""
    labels = torch.zeros(1, 20, width, dtype=torch.long)
    labels[:, :, column:] = 1
    return labels


def test_a_border_in_its_place_costs_nothing():
    assert Boundary(WEIGHTS)(certain(halves(20), 2), halves(20)).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("pixels", "expected"), [(1, 0.0), (2, 0.0), (6, 1.0)])
def test_a_border_may_lie_within_the_tolerance(pixels, expected):
    assert Boundary(WEIGHTS)(certain(halves(20 + pixels), 2), halves(20)).item() == pytest.approx(expected, abs=1e-5)


def test_borders_that_are_not_there_cost_precision():
    noisy = halves(20)
    noisy[:, :, 4:8] = 1
    assert 0.2 < Boundary(WEIGHTS)(certain(noisy, 2), halves(20)).item() < 0.8


def test_the_edge_of_what_is_labelled_is_no_border():
    labels = halves(20)
    labels[:, :, :20] = 255
    loss = Boundary(WEIGHTS)(certain(halves(20), 2), labels)
    assert loss.item() == 0
