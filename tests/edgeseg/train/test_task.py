from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases_of_losses import certain
from torch import nn

from edgeseg.models.blocks import resize
from edgeseg.models.network import Features, Network
from edgeseg.train.consistency import Unlabelled, consistency_loss, tag_loss
from edgeseg.train.losses.base import SoftTargets
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


def test_a_head_upon_the_whole_picture_is_to_say_which_classes_there_are():
    labels = torch.zeros(3, 16, 24, dtype=torch.long)
    labels[0, 3, 5], labels[1], labels[2, :, :12] = 2, 255, 255
    tap = torch.randn(3, 3, 1, 1)
    one = task(torch.zeros(3, 3, 16, 24), "dice + cross_entropy", tap=tap, aux_weight=0.4).eval()
    (aux,) = one.heads((tap,))
    there = torch.tensor([[1.0, 0, 1], [1, 0, 0]])
    expected = 0.4 * F.binary_cross_entropy_with_logits(aux[[0, 2], :, 0, 0], there)
    torch.testing.assert_close(one(pictures(labels), labels)["aux"], expected)


def test_a_teacher_is_looked_at_by_its_own_terms_and_on_all_pixels():
    labels = torch.full((1, 16, 24), 255)
    logits, taught = torch.randn(1, 3, 4, 6), torch.randn(1, 3, 8, 12)
    soft = SoftTargets(taught.log_softmax(1), torch.ones(1, 8, 12, dtype=torch.bool))
    one = task(logits, "distil(0.5, 2) + cross_entropy", tap=torch.randn(1, 3, 4, 6), aux_weight=0.4, stride=2)
    losses = one(pictures(labels), labels, soft)
    assert set(losses) == {"distil", "cross_entropy", "aux"}
    assert losses["cross_entropy"] == 0
    expected = 0.5 * one.losses["distil"](resize(logits, (8, 12)), soft)
    torch.testing.assert_close(losses["distil"], expected)
    assert "distil" not in one(pictures(labels), labels)


def test_pictures_without_labels_are_told_apart():
    labels = torch.randint(0, 3, (1, 16, 24))
    logits = torch.randn(3, 3, 16, 24)
    pseudo = torch.full((2, 16, 24), 255)
    pseudo[1, :8] = 2
    tags = torch.tensor([[1, 1, 255], [0, 255, 1]], dtype=torch.uint8)
    others = Unlabelled(pictures(pseudo), pseudo, tags, torch.tensor(0.5))
    one = task(logits, "cross_entropy", tap=torch.randn(3, 3, 4, 6), aux_weight=0.4)
    losses = one(pictures(labels), labels, None, others)
    assert list(losses) == ["cross_entropy", "aux", "consistency", "tags"]
    torch.testing.assert_close(losses["cross_entropy"], F.cross_entropy(logits[:1], labels))
    torch.testing.assert_close(losses["consistency"], 0.5 * consistency_loss(logits[1:], pseudo))
    torch.testing.assert_close(losses["tags"], 0.5 * tag_loss(logits[1:], tags))
    assert "tags" not in one(pictures(labels), labels, None, others._replace(tags=None))


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
