"""The peak of a network's activations, in stacks whose tensors can be counted by hand: pictures of 8x8 pixels."""

from __future__ import annotations

import torch
from functions import Function
from torch import nn

from edgeseg.models.memory import peak_activation_bytes
from edgeseg.models.trace import trace

CHANNEL = 8 * 8 * 4
"""Bytes of one, in float32."""


def peak(function, *modules):
    return peak_activation_bytes(trace(Function(function, *modules), (8, 8))) / CHANNEL


def conv(before, behind):
    return nn.Conv2d(before, behind, 3, padding=1)


def test_a_convolution_holds_what_it_reads_and_what_it_makes():
    assert peak(lambda x, a: a(x), conv(3, 5)) == 3 + 5
    assert peak(lambda x, a, b: b(a(x)), conv(3, 5), conv(5, 2)) == 8  # the picture is gone by then
    assert peak(lambda x, a, b: b(a(x)), conv(3, 5), conv(5, 7)) == 5 + 7


def test_pointwise_operations_write_over_what_nothing_reads_afterwards():
    assert peak(lambda x, a, norm: torch.relu(norm(a(x))), conv(3, 5), nn.BatchNorm2d(5)) == 8
    assert peak(lambda x, a: a(x) + torch.sigmoid(a(x)), conv(3, 5)) == 3 + 5 + 5
    assert peak(lambda x: torch.sigmoid(x) * x) == 3 + 3  # the picture is read again


def test_what_is_kept_for_later_counts_until_then():
    def skip(x, a, b, c):
        kept = a(x)
        return torch.cat([kept, c(b(kept))], dim=1)

    assert peak(skip, conv(3, 4), conv(4, 6), conv(6, 4)) == 4 + 4 + 8  # where they are joined
    assert peak(skip, conv(3, 4), conv(4, 9), conv(9, 4)) == 4 + 9 + 4  # before


def test_views_take_nothing_and_what_nothing_reads_is_not_made():
    assert peak(lambda x, a: a(x).flatten(2).transpose(1, 2), conv(3, 5)) == 8

    def with_tap(x, a, b):
        b(x)  # a head that only trains
        return a(x)

    assert peak(with_tap, conv(3, 5), conv(3, 50)) == 8


def test_indices_of_a_pooling_count_where_they_are_used():
    pooled = 4 * 4 * 4 / CHANNEL
    assert peak(lambda x: nn.functional.max_pool2d(x, 2)) == 3 + 3 * pooled
