"""Checkpoints: what is saved comes back; what is damaged, foreign or malicious is refused in one line."""

from __future__ import annotations

import os
import pickle
import random
from dataclasses import replace

import pytest
import torch

from edgeseg.errors import EdgesegError, ModelError, SinkError
from edgeseg.models.checkpoint import load_network, save_atomically, save_network
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec

SPEC = ModelSpec("enet", ("a", "b", "c"), input_size=(64, 96), metrics={"val_miou": 0.5})


@pytest.fixture
def saved(tmp_path):
    """A checkpoint's path and its network."""
    network = build("enet", 3)
    save_network(tmp_path / "model.pt", network, SPEC)
    return tmp_path / "model.pt", network


def test_a_network_comes_back_with_its_spec_ready_to_infer(saved):
    path, network = saved
    loaded, spec = load_network(path)
    assert spec == SPEC
    assert not loaded.training
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network.eval()(images))
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_a_failed_save_leaves_the_old_file_whole(saved):
    path, _ = saved
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_atomically(path, {"spec": SPEC.to_json(), "model": lambda: None})
    assert path.read_bytes() == before


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"there is no checkpoint .*gone\.pt"):
        load_network(tmp_path / "gone.pt")


@pytest.mark.filterwarnings("error")
def test_any_damage_is_one_line(saved):
    path, _ = saved
    whole, rng = path.read_bytes(), random.Random(0)
    damages = [b"", b"hello", b"]}.", whole[:100], whole[: len(whole) // 2], whole[:-1]]
    damages += [rng.randbytes(rng.randrange(1, 200)) for _ in range(200)]
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"model\.pt is not a checkpoint") as caught:
            load_network(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "is not a checkpoint of edgeseg"),
        ({"weights": 1}, "is not a model of edgeseg"),
        ({"spec": "{", "model": {}}, "not JSON"),
        ({"spec": SPEC.to_json(), "model": {}}, "do not fit enet"),
        ({"spec": SPEC.to_json(), "model": [1]}, "do not fit enet"),
        ({"spec": replace(SPEC, network="unet").to_json(), "model": {}}, "no network 'unet'"),
    ],
)
def test_foreign_content_is_one_line(tmp_path, content, message):
    torch.save(content, tmp_path / "foreign.pt")
    with pytest.raises(EdgesegError, match=message) as caught:
        load_network(tmp_path / "foreign.pt")
    assert "\n" not in str(caught.value)


def test_weights_of_another_number_of_classes(saved):
    path, network = saved
    torch.save(
        {"spec": replace(SPEC, class_names=("a", "b"), colors=()).to_json(), "model": network.state_dict()}, path
    )
    with pytest.raises(ModelError, match=r"model\.pt do not fit enet"):
        load_network(path)


class _Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, write):
    write({"spec": SPEC.to_json(), "model": _Malicious(tmp_path / "harm")}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="is not a checkpoint"):
        load_network(tmp_path / "model.pt")
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_that_cannot_be_written_is_an_error_of_the_output(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"the old one")
    (tmp_path / "model.pt.part").mkdir()  # in the way
    with pytest.raises(SinkError, match=r"model\.pt cannot be written"):
        save_atomically(tmp_path / "model.pt", {"epoch": 1})
    assert (tmp_path / "model.pt").read_bytes() == b"the old one"
