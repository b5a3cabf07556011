"""What every loss keeps to, and the language that names them."""

from __future__ import annotations

import pytest
import torch
from cases_of_losses import WEIGHTS, certain, random_case

from edgeseg.errors import InputError
from edgeseg.train.losses.registry import LOSSES, open_losses, parse_losses


@pytest.fixture(params=[name for name in LOSSES.own_names if name != "distil"])
def loss(request):
    """Each loss of labels."""
    return LOSSES[request.param](WEIGHTS)


def test_pixels_without_a_label_change_nothing(loss):
    logits, labels = random_case()
    changed = logits.detach().clone()
    changed[:, :, :1] = 100 * torch.randn(2, 3, 1, 8)
    torch.testing.assert_close(loss(logits, labels), loss(changed, labels))


def test_a_batch_without_labels_is_zero_and_harmless(loss):
    logits, labels = random_case()
    nothing = loss(logits, torch.full_like(labels, 255))
    nothing.backward()
    assert nothing.item() == 0
    assert not logits.grad.any()


def test_it_falls_as_its_gradient_is_followed(loss):
    logits, labels = random_case(size=(24, 24))
    before = loss(logits, labels)
    (gradient,) = torch.autograd.grad(before, logits)
    assert torch.isfinite(gradient).all()
    step = 0.1 * gradient / gradient.abs().max()
    assert loss(logits - step, labels) < before


def test_right_logits_cost_nothing_and_wrong_ones_much(loss):
    labels = torch.zeros(1, 32, 48, dtype=torch.long)
    labels[:, :, 24:] = 1
    labels[:, 8:16, 8:16] = 2
    assert loss(certain(labels, 3), labels) < 1e-4
    assert loss(certain((labels + 1) % 3, 3), labels) > 0.2


def test_terms_stand_by_name_with_their_numbers():
    losses = open_losses("ohem(0.6) + dice + lovasz(0.5) + boundary(weight=0.2)", WEIGHTS)
    assert {name: loss.weight for name, loss in losses.items()} == {
        "ohem": 1,
        "dice": 1,
        "lovasz": 0.5,
        "boundary": 0.2,
    }
    assert losses["ohem"].threshold == 0.6
    assert parse_losses("dice") == {"dice": ((), {})}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "loss is ''. Write it as"),
        ("dice - ohem", "loss is 'dice - ohem'. Write it as"),
        ("2 * dice", "Write it as"),
        ("dice('a')", "Write it as"),
        ("dice(-1)", "Write it as"),
        ("dice(*[1])", "Write it as"),
        ("__import__('os').system('true')", "Write it as"),
        ("focal", "there is no loss 'focal'. Use cross_entropy, ohem, balanced, dice"),
        ("dice + dice", "loss names dice twice"),
        ("dice(1, 2, 3)", "loss: dice cannot be made with what stands behind it. It takes weight"),
        ("ohem(limit=1)", "It takes threshold, weight"),
        ("ohem(2)", "the threshold of ohem is 2"),
        ("(" * 400, "Write it as"),
    ],
)
def test_what_cannot_be_read_is_one_line(text, message):
    with pytest.raises(InputError) as caught:
        open_losses(text, WEIGHTS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
