from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeseg.errors import InputError
from edgeseg.train.losses.base import SoftTargets
from edgeseg.train.losses.registry import open_losses

WEIGHTS = torch.ones(3)


def case(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 6, 8, generator=generator, requires_grad=True)
    taught = F.log_softmax(3 * torch.randn(2, 3, 6, 8, generator=generator), dim=1)
    inside = torch.ones(2, 6, 8, dtype=torch.bool)
    inside[:, :, 5:] = False
    return logits, SoftTargets(taught, inside)


def distil(text):
    return open_losses(text, WEIGHTS)["distil"]


def test_it_is_the_divergence_of_softened_probabilities():
    logits, targets = case()
    temperature = 4.0
    p = (targets.log_probabilities / temperature).softmax(1)
    q = (logits / temperature).softmax(1)
    expected = temperature**2 * (p * (p / q).log()).sum(1)[:, :, :5].mean()
    torch.testing.assert_close(distil("distil(temperature=4)")(logits, targets), expected)


def test_who_says_the_same_loses_nothing():
    logits, targets = case()
    same = SoftTargets(F.log_softmax(logits.detach(), 1), targets.inside)
    assert distil("distil")(logits + 5, same).abs() < 1e-6


def test_beyond_the_border_nothing_counts():
    logits, targets = case()
    changed = logits.detach().clone()
    changed[..., 5:] = 99
    torch.testing.assert_close(distil("distil")(logits, targets), distil("distil")(changed, targets))
    nothing = distil("distil")(logits, targets._replace(inside=torch.zeros_like(targets.inside)))
    nothing.backward()
    assert nothing.item() == 0
    assert not logits.grad.any()


def test_it_falls_as_its_gradient_is_followed():
    logits, targets = case()
    before = distil("distil")(logits, targets)
    (gradient,) = torch.autograd.grad(before, logits)
    assert distil("distil")(logits - 0.5 * gradient / gradient.abs().max(), targets) < before


def test_its_numbers_are_its_weight_and_its_temperature():
    loss = distil("distil(0.5, 3)")
    assert (loss.weight, loss.temperature) == (0.5, 3)
    with pytest.raises(InputError, match="the temperature of distil is 0"):
        distil("distil(1, 0)")
