from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from edgeseg.train.ema import warm_ema


def averages(decay, values):
    """What the average of a weight is after each of its values."""
    network = nn.BatchNorm1d(1)
    averaged = AveragedModel(network, multi_avg_fn=warm_ema(decay), use_buffers=True)
    out = []
    for count, value in enumerate(values, start=1):
        nn.init.constant_(network.weight, value)
        network.num_batches_tracked.fill_(count)
        averaged.update_parameters(network)
        assert averaged.module.num_batches_tracked == count
        out.append(averaged.module.weight.item())
    return out


def test_early_updates_count_more_than_the_decay_says():
    second = 2 / 11 * 5 + 9 / 11 * 16  # d = (1 + n) / (10 + n) after n = 1 update
    third = 3 / 12 * second + 9 / 12 * 7
    assert averages(0.998, [5, 16, 7]) == pytest.approx([5, second, third])


def test_later_ones_decay_as_told():
    values = torch.linspace(0, 1, 200).tolist()
    *_, before, last = averages(0.5, values)
    assert last == pytest.approx(0.5 * before + 0.5 * values[-1])
