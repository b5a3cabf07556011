"""Labels that the averaged network gives, where it is sure; pieces of other pictures; tags of whole ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from edgeseg.models.network import Features, Network
from edgeseg.models.registry import build
from edgeseg.train.consistency import FeatureDropout, PseudoLabels, consistency_loss, cut_mix, tag_loss
from edgeseg.train.unlabelled import UNKNOWN, Views


class Colours(Network):
    """Its logits are the channels of the picture."""

    stride = 1
    tap_channels = ()

    def features(self, images):
        return Features(images, ())


def views_of(pictures, tags=None):
    weak = torch.tensor(pictures, dtype=torch.uint8).permute(0, 3, 1, 2)
    size = weak.shape[2:]
    tags = torch.full((len(weak), 3), UNKNOWN) if tags is None else torch.tensor(tags)
    return Views(weak, 255 - weak, torch.ones(len(weak), *size, dtype=torch.uint8), tags.to(torch.uint8))


def labels_of(views, confidence, tagged):
    labels = PseudoLabels(Colours, torch.Tensor.float, confidence=confidence, tagged=tagged)
    return labels(views, torch.device("cpu"), 0.5)


def test_pixels_are_labelled_where_the_network_is_sure_and_the_picture_is():
    views = views_of([[[[9, 0, 0], [0, 9, 0], [1, 1, 0], [0, 0, 9]]]])
    views.inside[..., 3] = 0
    found = labels_of(views, 0.9, False)
    assert found.labels.tolist() == [[[0, 1, 255, 255]]]
    assert torch.equal(found.images, views.strong)  # one picture alone is not mixed
    assert found.tags is None
    assert found.weight == 0.5


def test_tags_limit_what_a_pixel_can_be():
    views = views_of([[[[9, 8, 0], [0, 9, 0], [1, 1, 9]]]], tags=[[0, 1, 1]])
    assert labels_of(views, 0.9, True).labels.tolist() == [[[1, 1, 2]]]
    views = views_of([[[[9, 8, 0]]]], tags=[[0, 1, UNKNOWN]])
    assert labels_of(views, 0.9, True).labels.tolist() == [[[1]]]


def test_a_piece_of_the_next_picture_comes_with_its_labels():
    torch.manual_seed(0)
    labels = torch.arange(6).view(6, 1, 1).expand(6, 8, 12).contiguous()
    images = labels.repeat_interleave(2, 1).repeat_interleave(2, 2).unsqueeze(1).expand(6, 3, 16, 24)
    mixed = 0
    for _ in range(20):
        new_images, new_labels = cut_mix(images, labels, [False] * 5 + [True])
        assert torch.equal(new_images[:, 0, ::2, ::2], new_labels)
        assert torch.equal(new_images[5], images[5])
        for index in range(5):
            share = (new_labels[index] != index).float().mean().item()
            assert share <= 0.5
            assert set(new_labels[index].unique().tolist()) <= {index, index + 1}
            mixed += share > 0
    assert 25 < mixed < 75


def test_what_nobody_is_sure_of_costs_nothing_and_few_pixels_little():
    logits = torch.randn(2, 3, 4, 6, requires_grad=True)
    unsure = torch.full((2, 4, 6), 255)
    consistency_loss(logits, unsure).backward()
    assert not logits.grad.any()
    one = unsure.clone()
    one[0, 0, 0] = 1
    expected = -logits.log_softmax(1)[0, 1, 0, 0] / 48
    torch.testing.assert_close(consistency_loss(logits, one), expected)


def test_tags_are_kept_by_one_pixel_and_missed_by_none():
    logits = torch.zeros(1, 3, 8, 8)
    logits[:, 0] = 30
    absent, present = (torch.tensor([[1, 0, tag]], dtype=torch.uint8) for tag in (0, 1))
    assert tag_loss(logits, absent) < 1e-4
    assert tag_loss(logits, present) > 3
    logits[0, :, 0, 0] = torch.tensor([0.0, 0.0, 60.0])
    assert tag_loss(logits, present) < 0.5
    unknown = torch.full((1, 3), UNKNOWN, dtype=torch.uint8)
    assert tag_loss(logits, unknown) == 0


def test_the_loss_of_tags_has_gradients_at_the_extremes():
    logits = torch.full((1, 3, 4, 4), -1e4)
    logits[:, 0] = 1e4
    logits.requires_grad_()
    loss = tag_loss(logits, torch.tensor([[0, 1, UNKNOWN]], dtype=torch.uint8))
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["fast_scnn", "enet"])
def test_features_are_dropped_for_every_second_picture_without_labels(name):
    torch.manual_seed(0)
    network = build(name, 3, {}).eval()
    dropout = FeatureDropout(network, 3)
    seen = []
    last = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.out_channels == 3][-1]
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(1, 3, 32, 64).expand(5, -1, -1, -1)
    with torch.no_grad():
        plain = network(images)
        with dropout.after(1):
            dropped = network(images)
        again = network(images)
    assert torch.equal(plain, again)
    changed = [not torch.equal(a, b) for a, b in zip(plain, dropped, strict=True)]
    assert changed == [False, True, False, True, False]
    gone = (seen[1][1] == 0).flatten(1).all(1) & (seen[0][1] != 0).flatten(1).any(1)
    assert 0.2 < gone.sum() / (seen[0][1] != 0).flatten(1).any(1).sum() < 0.8
