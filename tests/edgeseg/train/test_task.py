from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases_of_losses import certain
from torch import nn

from edgeseg.models.network import Features, Network
from edgeseg.train.losses.registry import open_losses
from edgeseg.train.task import SegmentationTask


class Says(Network):
    """A network that says what it was made with."""

    stride = 1
    tap_channels = (3,)

    def __init__(self, logits: torch.Tensor, tap: torch.Tensor) -> None:
        super().__init__()
        self.said = Features(logits, (tap,))

    def features(self, images: torch.Tensor) -> Features:
        return self.said


def task(logits: torch.Tensor, loss: str, *, tap: torch.Tensor | None = None, **settings) -> SegmentationTask:
    settings = {"num_classes": 3, "aux_weight": 0.0, "stride": 1, **settings}
    tap = torch.zeros(1, 3, 4, 6) if tap is None else tap
    weights = torch.ones(settings["num_classes"])
    return SegmentationTask(Says(logits, tap), nn.Identity(), open_losses(loss, weights), **settings)


def pictures(labels: torch.Tensor) -> torch.Tensor:
    return torch.zeros(labels.shape[0], 3, *labels.shape[1:], dtype=torch.uint8)


def test_each_term_is_told_by_name_with_its_weight():
    labels = torch.randint(0, 3, (1, 16, 24))
    logits = torch.randn(1, 3, 16, 24)
    losses = task(logits, "cross_entropy + dice(0.5)")(pictures(labels), labels)
    assert list(losses) == ["cross_entropy", "dice"]
    whole = task(logits, "cross_entropy(0.5) + dice")(pictures(labels), labels)
    torch.testing.assert_close(losses["dice"], whole["dice"] / 2)
    torch.testing.assert_close(losses["cross_entropy"], F.cross_entropy(logits, labels))


def test_auxiliary_heads_have_the_first_loss_at_their_own_resolution():
    labels = torch.randint(0, 3, (1, 16, 24))
    tap = torch.randn(1, 3, 4, 6)
    one = task(torch.zeros(1, 3, 16, 24), "cross_entropy + dice", tap=tap, aux_weight=0.4).eval()
    (aux,) = one.heads((tap,))
    # the centre of each 4x4 cell, which "nearest" takes
    expected = 0.4 * F.cross_entropy(aux, labels[:, 2::4, 2::4])
    torch.testing.assert_close(one(pictures(labels), labels)["aux"], expected)


@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy + dice"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_right_logits_cost_little_and_wrong_ones_much_at_any_stride(stride, loss):
    labels = torch.zeros(1, 32, 48, dtype=torch.long)
    labels[:, :, 24:] = 1
    logits = certain(labels, 2, 20)

    def total(logits, labels):
        return sum(task(logits, loss, num_classes=2, stride=stride)(pictures(labels), labels).values())

    assert total(logits, labels) < 1e-3
    assert total(logits[:, :, ::8, ::8], labels) < 1.0
    assert total(logits, 1 - labels) > 10
