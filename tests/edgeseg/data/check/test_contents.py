"""What the labels and pictures of a split say together, as planted in a good data set."""

from __future__ import annotations

import numpy as np
from planted_faults import NAMES, SIZE, STEMS, scene, stripes, the_only


def test_masks_read_as_one_class(data):
    data.describe(names=["ground", "car"], colors=None, label_format="index")
    for stem in data.every():
        data.label(stem, np.uint8(255) * (stripes(ord(stem)) > 2))
    found = {finding.kind: finding for finding in data.check().findings}
    assert found["masks-as-one-class"].severity == "error"
    assert found["masks-as-one-class"].count == 6
    data.describe(label_format="binary")
    assert data.check().findings == ()


def test_a_mask_among_indices(data):
    data.label("c", np.uint8(255) * (stripes(1) > 2))
    assert the_only(data.check(), "masks-as-one-class", "warning").files == (data.path("c", "labels"),)
    data.label("a", np.where(stripes(97) == 1, np.uint8(255), stripes(97)))
    assert data.check().findings == ()  # for now 255 is seen to mean "no label"


def test_classes_without_a_pixel(data):
    data.describe(names=[*NAMES, "bicycle"], colors=None)
    found = data.check().findings
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("absent-class", "error"),
        ("absent-class", "warning"),
    ]
    assert "split train" in found[0].what
    assert found[0].what.endswith("has class bicycle")


def test_labels_that_are_one_thing_all_over(data):
    data.label("a", np.full(SIZE, 255, np.uint8))
    data.label("b", np.full(SIZE, 2, np.uint8))
    found = {finding.kind: finding for finding in data.check().findings}
    assert found["nothing-labelled"].files == (data.path("a", "labels"),)
    assert found["one-class-alone"].what == f"{data.path('b', 'labels')} is tree all over"
    assert {finding.severity for finding in found.values()} == {"warning"}


def test_a_split_without_any_label(data):
    for stem in STEMS["val"]:
        data.label(stem, np.full(SIZE, 255, np.uint8))
    report = data.check()
    assert [finding.kind for finding in report.findings] == ["absent-class", "nothing-labelled"]
    assert report.harmful


def test_pictures_unlike_the_rest(data):
    data.image("a", scene(1, (48, 200)))
    data.label("a", stripes(1, (48, 200)))
    found = the_only(data.check(), "unusual-size", "warning")
    assert found.files == (data.path("a"),)
    assert "is 200x48" in found.what


def test_pictures_smaller_than_the_network(data):
    found = data.check(input_size=(360, 480)).findings
    assert [(finding.kind, finding.severity, finding.count) for finding in found] == [("small-picture", "warning", 6)]
