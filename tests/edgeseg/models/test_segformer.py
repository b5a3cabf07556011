"""SegFormer beside the implementation of transformers, and the sizes that it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeseg.errors import InputError
from edgeseg.models.registry import build


def test_it_says_which_sizes_it_takes():
    network = build("segformer_b0", 4)
    network.check_size((32, 45))
    with pytest.raises(InputError, match=r"SegFormer cannot take images of 96x31\. .* at least 32"):
        network.check_size((31, 96))


def test_images_lose_whole_branches_in_training_alone():
    """Stochastic depth: of a batch of one image eight times, some differ in training, and none at work."""
    torch.manual_seed(0)
    trunk = build("segformer_b0", 4).backbone
    images = torch.rand(1, 3, 32, 32).expand(8, 3, 32, 32)
    with torch.no_grad():
        trained, at_work = trunk.train()(images)[-1], trunk.eval()(images)[-1]
    assert len({tuple(one.flatten().tolist()) for one in trained}) > 1
    torch.testing.assert_close(at_work, at_work[:1].expand_as(at_work))


@pytest.fixture(scope="module")
def theirs():
    """The SegFormer of transformers with random weights and statistics."""
    reason = "compares with transformers 5; pip install transformers"
    transformers = pytest.importorskip("transformers", minversion="5", reason=reason)
    torch.manual_seed(0)
    network = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(num_labels=11)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            nn.init.normal_(module.bias, std=0.1)
    return network


def weights_of(theirs):
    """Their tensors under our names."""
    head = theirs.decode_head
    modules = {"mix.0": head.linear_fuse, "mix.1": head.batch_norm, "classifier.1": head.classifier}
    tensors = {}
    for i, stage in enumerate(theirs.segformer.stages):
        modules |= {f"backbone.embeddings.{i}.project": stage.patch_embeddings.proj}
        modules |= {f"backbone.embeddings.{i}.norm": stage.patch_embeddings.layer_norm}
        modules |= {f"backbone.stages.{i}.2": stage.layer_norm}
        for j, block in enumerate(stage.blocks):
            ours, attention = f"backbone.stages.{i}.{j}", block.attention
            modules |= {f"{ours}.norm1": block.layernorm_before, f"{ours}.norm2": block.layernorm_after}
            modules |= {f"{ours}.attention.query": attention.q_proj, f"{ours}.attention.project": attention.o_proj}
            modules |= {f"{ours}.feed_forward.expand": block.mlp.fc1, f"{ours}.feed_forward.project": block.mlp.fc2}
            modules |= {f"{ours}.feed_forward.depthwise": block.mlp.dwconv.dwconv}
            if i < 3:
                reduction = attention.sequence_reduction
                modules |= {f"{ours}.attention.reduce": reduction.sequence_reduction}
                modules |= {f"{ours}.attention.norm": reduction.layer_norm}
            for kind in ("weight", "bias"):
                both = [getattr(attention.k_proj, kind), getattr(attention.v_proj, kind)]
                tensors[f"{ours}.attention.key_value.{kind}"] = torch.cat(both)
        level = head.linear_projections[i].proj
        tensors |= {f"levels.{i}.weight": level.weight[..., None, None], f"levels.{i}.bias": level.bias}
    for name, module in modules.items():
        tensors |= {f"{name}.{kind}": tensor for kind, tensor in module.state_dict().items()}
    return tensors


@pytest.mark.parametrize("size", [(64, 96), (65, 107)])
@torch.no_grad()
def test_it_computes_what_transformers_computes(theirs, size):
    ours = build("segformer_b0", 11).eval()
    ours.load_state_dict(weights_of(theirs))
    images = torch.randn(1, 3, *size)
    logits = ours(images)
    torch.testing.assert_close(logits, theirs(images).logits, rtol=0, atol=1e-4)
    assert logits.std() > 0.1
