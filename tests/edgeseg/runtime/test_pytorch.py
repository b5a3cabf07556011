from __future__ import annotations

import json

import numpy as np
import pytest

from edgeseg.errors import ModelError, SpecError
from edgeseg.runtime.registry import open_backend
from edgeseg.spec import ModelSpec

torch = pytest.importorskip("torch", reason="the pytorch backend needs torch; pip install 'edgeseg[train]'")

SPEC = ModelSpec("fast_scnn", ("a", "b", "c"), input_size=(64, 96), mean=(0.2, 0.3, 0.4), std=(0.1, 0.2, 0.3), stride=8)


@pytest.fixture
def checkpoint(tmp_path):
    from edgeseg.models.checkpoint import save_network
    from edgeseg.models.registry import build

    torch.manual_seed(0)
    network = build("fast_scnn", 3).eval()
    save_network(tmp_path / "model.pt", network, SPEC)
    return tmp_path / "model.pt", network


def test_pixels_are_normalised_as_the_spec_says(checkpoint):
    path, network = checkpoint
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    normalised = (images / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    with torch.no_grad():
        expected = network(torch.from_numpy(normalised.astype(np.float32).transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(open_backend(path).infer(images), expected, atol=1e-3)


def test_what_torch_wrote_but_edgeseg_did_not(tmp_path):
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt is not"):
        open_backend(tmp_path / "other.pt")


def test_a_malformed_spec(checkpoint):
    path, network = checkpoint
    spec = json.dumps({**json.loads(SPEC.to_json()), "std": [0, 1, 1]})
    torch.save({"spec": spec, "model": network.state_dict()}, path)
    with pytest.raises(SpecError, match=r"model\.pt.*must be positive"):
        open_backend(path)
