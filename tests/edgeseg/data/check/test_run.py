"""One check of a whole data set: what it says of a good one, and of every format."""

from __future__ import annotations

import os

import pytest
from dataset_exports import EXPORTS
from PIL import Image
from planted_faults import SIZE, scene

from edgeseg.data.check.run import check
from edgeseg.data.class_counts import class_pixels
from edgeseg.data.dataset import Dataset


def test_nothing_is_wrong_with_a_good_data_set(data):
    report = data.check(input_size=(48, 64))
    assert report.findings == ()
    assert not report.harmful
    train = report.splits["train"]
    assert train.pictures == 4
    assert train.sizes == {SIZE: 4}
    assert train.class_pixels.sum() == 4 * 48 * 64
    assert train.shares.tolist() == pytest.approx([1 / 6] * 6)


def test_jpeg_is_measured_at_its_own_size(data):
    data.path("a").unlink()
    Image.fromarray(scene(ord("a"), (1200, 1600))).save(data.path("a", suffix=".jpg"))
    found = [finding for finding in data.check().findings if finding.kind == "size-mismatch"]
    assert f"{data.path('a', suffix='.jpg')} is 1600x1200" in found[0].what


def test_what_was_counted_is_kept_for_training(data):
    report = data.check()
    dataset = Dataset.load(data.folder)

    def never(_):
        raise AssertionError("counted again")

    assert class_pixels(dataset, "train", never).tolist() == report.splits["train"].class_pixels.tolist()


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_every_format_can_be_checked(tmp_path, name):
    export = EXPORTS[name](tmp_path / name)
    report = check(Dataset.load(export.folder, name))
    held = {split: len(labels) for split, labels in export.labels.items()}
    assert {split: own.pictures for split, own in report.splits.items()} == held
    # The exports' pictures are all the same, and show few of the benchmarks' classes.
    same = {"identical-across-splits", "near-identical-across-splits", "contradicting-labels"}
    assert {finding.kind for finding in report.findings} <= {*same, "absent-class", "one-class-alone"}


def test_the_report_as_json(data):
    data.path("b", "labels").unlink()
    told = data.check().to_dict()
    assert told["harmful"] is True
    assert told["findings"] == [
        {
            "kind": "unlabelled-image",
            "severity": "error",
            "what": f"{data.path('b')} has no label",
            "remedy": "Label it, or move it out",
            "count": 1,
            "files": [os.fspath(data.path("b"))],
        }
    ]
    assert told["splits"]["val"]["sizes"] == {"64x48": 2}
