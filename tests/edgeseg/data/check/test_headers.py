"""Sizes and orientations that are at odds, as planted in a good data set."""

from __future__ import annotations

from planted_faults import SIZE, scene, stripes, the_only, turned


def test_sizes_that_differ(data):
    data.label("a", stripes(1, (24, 64)))
    data.label("c", stripes(1, (24, 64)))
    found = the_only(data.check(), "size-mismatch")
    assert found.count == 2
    assert found.what == f"{data.path('a')} is 64x48 but its label {data.path('a', 'labels')} is 64x24"
    assert "(and 1 more like it). Make both the same size." in str(found)


def test_exif_turns_the_image_and_not_the_label(data):
    data.image("a", scene(1), exif=turned(6))
    found = the_only(data.check(), "exif-orientation")
    assert found.what.startswith(f"EXIF turns {data.path('a')} but not {data.path('a', 'labels')}")


def test_exif_turns_the_label_and_not_the_image(data):
    data.label("a", stripes(1), exif=turned(8))
    found = the_only(data.check(), "exif-orientation")
    assert found.what.startswith(f"EXIF turns {data.path('a', 'labels')} but not {data.path('a')}")


def test_exif_turns_both_though_the_label_was_upright(data):
    data.image("a", scene(1, SIZE[::-1]), exif=turned(6))
    data.label("a", stripes(1), exif=turned(6))
    assert "EXIF turns both" in the_only(data.check(), "exif-orientation").what


def test_exif_that_turns_upside_down_leaves_it_in_doubt(data):
    data.image("a", scene(1), exif=turned(3))
    found = the_only(data.check(), "exif-orientation", "warning")
    assert "their sizes do not show whether they fit" in found.what


def test_labels_drawn_upon_the_upright_picture_are_right(data):
    data.image("a", scene(1, SIZE[::-1]), exif=turned(6))
    data.image("b", scene(2, SIZE[::-1]), exif=turned(6))
    data.label("b", stripes(2, SIZE[::-1]).copy(), exif=turned(6))
    kinds = [finding.kind for finding in data.check().findings]
    assert kinds == []
