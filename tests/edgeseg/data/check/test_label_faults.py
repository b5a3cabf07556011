"""Labels that cannot be read, or that smoothing has spoiled, as planted in a good data set."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from planted_faults import COLORS, SIZE, stripes, the_only


def smoothed(values: np.ndarray) -> np.ndarray:
    small = cv2.resize(values, (61, 45), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("how", ["shrunk", "enlarged"])
def test_anti_aliased_indices_that_are_classes_all(data, how):
    columns = np.repeat(np.repeat([0, 5, 0, 3, 0, 5, 1, 4], 8)[None, :], SIZE[0], axis=0).astype(np.uint8)
    data.label("a", columns)
    assert data.check().findings == ()
    if how == "shrunk":
        data.label("a", ((columns.astype(int) + np.roll(columns, 1, axis=1)) // 2).astype(np.uint8))
    else:
        data.label("a", cv2.resize(columns[::2, ::2], SIZE[::-1], interpolation=cv2.INTER_LINEAR))
    found = the_only(data.check(), "anti-aliased-label")
    assert found.files == (data.path("a", "labels"),)


def test_anti_aliased_colours(data):
    data.as_colors()
    assert data.check().findings == ()
    data.label("a", smoothed(np.array(COLORS, np.uint8)[stripes(1)]))
    found = the_only(data.check(), "anti-aliased-label")
    assert "colours without a class along the edges" in found.what


def test_colours_that_mean_no_label_are_not_blamed(data):
    data.as_colors()
    between = [[45, 45, 0], [0, 0, 125], [100, 0, 125]]
    data.describe(ignore_colors=between)
    colors = np.array(COLORS, np.uint8)[stripes(1)]
    for row, color in zip((8, 16, 24), between, strict=True):
        colors[row] = color
    data.label("a", colors)
    assert data.check().findings == ()
    colors[12, 5] = [255, 0, 1]
    data.label("a", colors)
    assert "[255, 0, 1], which no class has" in the_only(data.check(), "unknown-colour").what


def test_anti_aliased_masks(data):
    data.describe(names=["ground", "car"], colors=None, label_format="binary")
    for stem in data.every():
        data.label(stem, np.uint8(255) * (stripes(ord(stem)) > 2))
    data.label("a", smoothed(np.uint8(255) * (stripes(1) > 2)))
    assert the_only(data.check(), "anti-aliased-label").files == (data.path("a", "labels"),)


def test_jpeg_labels(data):
    data.path("a", "labels").unlink()
    Image.fromarray(stripes(1)).save(data.path("a", "labels", ".jpg"))
    Image.fromarray(stripes(2)).save(data.path("b", "labels"), "JPEG")
    found = the_only(data.check(), "jpeg-label")
    assert found.files == (data.path("a", "labels", ".jpg"), data.path("b", "labels"))
    assert "compressed with loss" in found.what


def test_jpeg_labels_saved_as_png(data):
    data.as_colors()
    jpeg = data.path("a", suffix=".jpeg")
    noisy = np.array(COLORS, np.uint8)[np.random.default_rng(0).permutation(stripes(1).ravel()).reshape(SIZE)]
    Image.fromarray(noisy).save(jpeg, quality=60)
    data.label("a", np.asarray(Image.open(jpeg)))
    jpeg.unlink()
    found = the_only(data.check(), "jpeg-label")
    assert "compression with loss" in found.what


def test_index_without_a_class(data):
    labels = stripes(1)
    labels[:9, :9] = 17
    data.label("a", labels)
    found = the_only(data.check(), "unknown-index")
    assert "holds label index 17, but the classes are 0..5" in found.what


def test_colour_without_a_class(data):
    data.as_colors()
    colors = np.array(COLORS, np.uint8)[stripes(1)]
    colors[:9, :9] = (1, 2, 3)
    data.label("a", colors)
    assert "colour [1, 2, 3], which no class has" in the_only(data.check(), "unknown-colour").what


def test_unreadable_and_damaged_files(data):
    whole = data.path("a").read_bytes()
    data.path("a").write_bytes(whole[: len(whole) // 2])
    data.path("b").write_bytes(b"no picture")
    data.path("c", "labels").write_bytes(b"")
    found = data.check().findings
    assert {finding.kind for finding in found} == {"unreadable"}
    files = {file for finding in found for file in finding.files}
    assert files == {data.path("a"), data.path("b"), data.path("c", "labels")}
