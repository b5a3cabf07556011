"""Classes are counted once; what is kept holds only as long as nothing has changed."""

from __future__ import annotations

import os

import numpy as np
import pytest
import yaml
from dataset_exports import FIRST, SECOND, coco, coco_annotations, coco_document, folders, joined, save, write_json

from edgeseg.data.class_counts import class_pixels
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folders(tmp_path / "data").folder


def count(data, split="train"):
    """The pixels, and whether they were counted anew."""
    anew = []
    pixels = class_pixels(Dataset.load(data), split, lambda samples: anew.append(1) or samples)
    return pixels.tolist(), bool(anew)


EXPECTED = (np.bincount(FIRST.ravel(), minlength=3) + np.bincount(SECOND.ravel(), minlength=3)).tolist()


def test_the_second_time_nothing_is_read(data):
    assert count(data) == (EXPECTED, True)
    assert count(data) == (EXPECTED, False)
    assert count(data, "val")[1], "each split for itself"


def test_whatever_changes_is_counted_again(data):
    path = data / "train" / "labels" / "a.png"

    def rename():
        for kind, suffix in (("images", ".png"), ("labels", ".png")):
            (data / "train" / kind / f"a{suffix}").rename(data / "train" / kind / f"z{suffix}")

    def describe():
        values = yaml.safe_load((data / "dataset.yaml").read_text())
        (data / "dataset.yaml").write_text(yaml.safe_dump({**values, "ignore_index": 1}))

    count(data)
    for change in (lambda: save(path, SECOND), lambda: os.utime(path, (1, 1)), rename, describe):
        change()
        assert count(data)[1]
        assert not count(data)[1]
    assert count(data)[0][1] == 0


def test_files_that_no_sample_names_are_asked_as_well(data, tmp_path):
    part = joined(tmp_path / "joined").folder / "second" / "dataset.yaml"
    before, _ = count(tmp_path / "joined")
    assert not count(tmp_path / "joined")[1]
    part.write_text(part.read_text().replace("- stone\n- bush", "- bush\n- stone"))
    pixels, anew = count(tmp_path / "joined")
    assert anew
    assert pixels != before
    assert sum(pixels) < sum(before), "the largest class is in doubt now"

    several = coco(tmp_path / "coco").folder
    annotations = several / "annotations"
    places = {"images": "train2017", "labels": ["annotations/instances_train2017.json", "annotations/more.json"]}
    described = {"format": "coco", "splits": {"train": places}}
    (several / "dataset.yaml").write_text(yaml.safe_dump(described))
    write_json(annotations / "more.json", coco_document([]))
    before, _ = count(several)
    write_json(annotations / "more.json", coco_document(coco_annotations()[:1]))
    assert count(several)[1]
    assert not count(several)[1]


def test_what_is_kept_and_broken_is_not_believed(data, tmp_path):
    count(data)
    (kept,) = (tmp_path / "cache" / "edgeseg" / "class-counts").iterdir()
    for content in ("", "[1]", '{"pixels": [1]}', '{"pixels": [-1, 0, 0]}', '{"pixels": ["a", 0, 0]}', '{"pixels": 3}'):
        kept.write_text(content)
        assert count(data) == (EXPECTED, True), content


def test_without_a_cache_it_is_counted_each_time(data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert count(data) == (EXPECTED, True)
    assert count(data) == (EXPECTED, True)


def test_labels_that_cannot_be_used_are_told_and_nothing_is_kept(data):
    (data / "train" / "labels" / "a.png").write_bytes(b"no picture")
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"a\.png"):
            count(data)
