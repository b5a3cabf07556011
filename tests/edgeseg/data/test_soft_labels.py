"""What a teacher said, kept in files: nearly as it was said, and read within limits."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from edgeseg.data.soft_labels import STEPS_PER_NAT, SoftLabels, to_nats
from edgeseg.errors import DatasetError, SinkError

NAMES = ("red", "green", "blue")
SIZE = (4, 6)


@pytest.fixture
def labels(tmp_path):
    labels = SoftLabels(tmp_path / "soft", NAMES, SIZE, "a_network")
    labels.begin()
    return labels


def logits_of(seed=0):
    return np.random.default_rng(seed).normal(0, 3, (3, *SIZE)).astype(np.float32)


def test_what_is_read_is_what_was_said_to_three_per_cent(labels):
    logits = logits_of()
    labels.write("a", logits)
    opened = SoftLabels.open(labels.folder)
    assert opened == labels
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=0)
    found = np.exp(-opened.read("a").astype(float) / STEPS_PER_NAT)
    likely = probabilities > 1e-6
    assert np.abs(found / probabilities - 1)[likely].max() < 0.032


def test_logits_of_any_size_become_bytes():
    extreme = np.array([[[1e30]], [[0.0]], [[-1e30]]], np.float32)
    assert to_nats(extreme).ravel().tolist() == [0, 255, 255]


def test_a_picture_is_a_small_file(labels):
    certain = np.zeros((3, *SIZE), np.float32)
    certain[1] = 20
    assert labels.write("a", certain) < 400


def test_another_model_does_not_write_among_them(labels):
    SoftLabels(labels.folder, NAMES, SIZE, "a_network").begin()  # the same goes on
    with pytest.raises(SinkError, match="holds soft labels of another model"):
        SoftLabels(labels.folder, NAMES, (8, 12), "a_network").begin()


def archive(content, name="nats.npy"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr(name, content)
    return file.getvalue()


def array(values, **settings):
    file = io.BytesIO()
    np.lib.format.write_array(file, values, **settings)
    return file.getvalue()


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def hostile():
    """Files that are none of ours."""
    whole = archive(array(np.zeros((3, *SIZE), np.uint8)))
    claimed = array(np.zeros((3, *SIZE), np.uint8)).replace(b"(3, 4, 6)", b"(9**9**9)")
    return {
        "cut": whole[:-20],
        "text": b"hello",
        "nothing": b"",
        "another member": archive(array(np.zeros((3, *SIZE), np.uint8)), "other.npy"),
        "other classes": archive(array(np.zeros((4, *SIZE), np.uint8))),
        "floats": archive(array(np.zeros((3, *SIZE), np.float32))),
        "transposed": archive(array(np.asfortranarray(np.zeros((3, *SIZE), np.uint8)))),
        "a bomb": archive(bytes(1 << 26)),
        "claims": archive(claimed),
        "a large claim": archive(array(np.zeros((3, *SIZE), np.uint8)).replace(b"(3, 4, 6), ", b"(3,44,666),")),
        "an object": archive(array(np.array([Harm()], object), allow_pickle=True)),
        "a pickle": pickle.dumps(Harm()),
        "too large": whole + bytes(1 << 20),
    }


@pytest.mark.parametrize("kind", hostile())
def test_a_file_that_is_none_of_ours_is_one_line(labels, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels.path("a").write_bytes(hostile()[kind])
    with pytest.raises(DatasetError, match=r"a\.npz is not a file of soft labels or is damaged") as caught:
        labels.read("a")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harmed").exists()


def test_a_picture_that_is_not_there_is_named(labels):
    with pytest.raises(DatasetError, match="has no soft labels of b"):
        labels.read("b")


def test_a_pipe_is_not_waited_for(labels):
    os.mkfifo(labels.path("a"))
    with pytest.raises(DatasetError, match="not a file"):
        labels.read("a")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2, "class_names": ["a"], "size": [1, 1]}',
        '{"format": 1, "class_names": ["a"], "size": [99999, 99999]}',
        '{"format": 1, "class_names": ["a", "a"], "size": [1, 1]}',
        '{"format": 1, "class_names": ["a"], "size": [true, 1]}',
        '{"format": 1, "class_names": [["a"]], "size": [1, 1]}',
        '{"format": 1, "class_names": ["a"], "size": [1, 1], "origin": 3}',
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(tmp_path, text):
    (tmp_path / "soft_labels.json").write_text(text)
    with pytest.raises(DatasetError, match=r"soft_labels\.json"):
        SoftLabels.open(tmp_path)


def test_a_folder_without_any_says_what_writes_them(tmp_path):
    with pytest.raises(DatasetError, match="edgeseg data predict"):
        SoftLabels.open(tmp_path)
