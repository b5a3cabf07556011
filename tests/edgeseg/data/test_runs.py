"""Run lengths of masks, as three tools write them."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_exports import packed_brush, uncompressed

from edgeseg.data.runs import alpha_of_brush, counts_of_text, mask_of_runs

RNG = np.random.default_rng(3)


def test_runs_down_the_columns_and_along_the_rows():
    counts = np.array([1, 2, 3])
    assert mask_of_runs(counts, (2, 3), by_columns=False).astype(int).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert mask_of_runs(counts, (2, 3), by_columns=True).astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2], "runs of 3 pixels for a mask of 3x2"),
        ([5, -1, 2], "outside the picture"),
        ([1 << 62, 1 << 62, 6], "outside the picture"),
        ([], "runs of 0 pixels"),
    ],
)
def test_runs_of_another_size(counts, message):
    with pytest.raises(ValueError, match=message):
        mask_of_runs(np.array(counts, dtype=np.int64), (2, 3), by_columns=True)


def test_compressed_texts_are_those_of_pycocotools():
    tool = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    for density in (0.02, 0.5, 0.98):
        for height, width in ((1, 1), (7, 5), (200, 300)):
            mask = RNG.random((height, width)) < density
            text = tool.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
            counts = counts_of_text(text)
            assert counts.tolist() == uncompressed(mask)["counts"]
            assert (mask_of_runs(counts, (height, width), by_columns=True) == mask).all()


@pytest.mark.parametrize("text", ["o", "é", "\x7f0", "oooooooooooooooo0", "0 "])
def test_texts_that_are_none(text):
    with pytest.raises(ValueError, match=r"no run lengths|outside the picture"):
        counts_of_text(text)
    assert counts_of_text("").size == 0


def test_a_brush_mask_is_read():
    mask = RNG.random((9, 31)) < 0.3
    mask[4:] = True
    assert (alpha_of_brush(packed_brush(mask), (9, 31)) == mask * np.uint8(255)).all()
    assert (alpha_of_brush(np.array(packed_brush(mask), np.uint8), (9, 31)) > 0).sum() == mask.sum()


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (packed_brush(np.ones((3, 4), bool)), "a brush mask of 12 pixels for a picture of 5x3"),
        (packed_brush(np.ones((3, 5), bool))[:-3], "ends early"),
        (packed_brush(np.ones((3, 5), bool))[:2], "ends early"),
        ([256], "no list of bytes"),
        ([], "no list of bytes"),
        (["a"], "no list of bytes"),
        ([0, 0, 0, 60, 0xFF, 0xFF, 0xFF, 0xFF], "a brush mask of 32-bit values"),
    ],
)
def test_brush_masks_that_are_none(packed, message):
    with pytest.raises(ValueError, match=message):
        alpha_of_brush(packed, (3, 5))
