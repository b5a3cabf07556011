"""LETNet takes neighbourhoods apart and adds them up by shifts, as unfolding and folding would."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeseg.models.letnet import EfficientTransformer, WindowAttention


@pytest.mark.parametrize("size", [(4, 6), (3, 5), (1, 1)])
@torch.no_grad()
def test_the_transformer_is_folding_of_unfolding_where_its_layers_add_nothing(size):
    transformer = EfficientTransformer(16)
    for parameter in (*transformer.attention.project.parameters(), *transformer.mlp[-1].parameters()):
        parameter.zero_()
    x = torch.rand(2, 16, *size)
    torch.testing.assert_close(transformer(x), F.fold(F.unfold(x, 3, padding=1), size, 3, padding=1))


@torch.no_grad()
def test_attention_stays_within_a_quarter_of_the_tokens():
    attention = WindowAttention(32, heads=2)
    tokens = torch.rand(1, 14, 32)
    before = attention(tokens)
    tokens[:, 4] += 1
    changed = (attention(tokens) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [3, 4, 5]
