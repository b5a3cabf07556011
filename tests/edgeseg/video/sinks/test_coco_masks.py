"""Masks as COCO writes them: the format by hand, and against pycocotools where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.types import LabelsU8
from edgeseg.video.sinks.coco_masks import polygon_masks, run_length_masks

# pycocotools' own, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def _blobs(seed: int, height: int, width: int) -> LabelsU8:
    """Five classes in soft shapes, with islands and holes."""
    noise = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), np.float32)
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth) * 4.99, np.uint8)


def _noise(seed: int, height: int, width: int) -> LabelsU8:
    labels = np.random.default_rng(seed).integers(0, 4, (height, width), dtype=np.uint8)
    labels[labels == 3] = 255
    return labels


LABELS = {
    "blobs": _blobs(0, 120, 160),
    "odd size": _blobs(1, 47, 63),
    "noise": _noise(2, 33, 21),
    "column": _noise(3, 40, 1),
    "row": _noise(4, 1, 40),
    "one pixel": np.zeros((1, 1), np.uint8),
    "one pixel of many": np.pad(np.ones((1, 1), np.uint8), 9),
    "full": np.full((90, 160), 7, np.uint8),
    "last class": np.full((5, 5), 254, np.uint8),
}


@pytest.fixture
def pycocotools_mask() -> Any:
    """The reference."""
    return pytest.importorskip("pycocotools.mask", reason="compares with it; pip install pycocotools")


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ([1] * 9, "09"),
        ([1] * 16, "0`0"),  # bit 4 of the last digit would be a sign
        ([1, 1, 1, 1, 1, 0, 1, 0], "051L0"),  # 0 5 1 1 1, from the fourth on as differences: -4, 0
        ([0, 0, 1], "21"),
    ],
)
def test_run_lengths_by_hand(row: list[int], counts: str) -> None:
    labels = np.array([row], np.uint8)
    assert run_length_masks(labels)[1] == {"size": [1, len(row)], "counts": counts}
    labels = labels.T.copy()
    assert run_length_masks(labels)[1] == {"size": [len(row), 1], "counts": counts}


def test_run_lengths_go_down_the_columns() -> None:
    labels = np.array([[0, 1], [0, 1], [0, 0]], np.uint8)
    assert run_length_masks(labels)[1]["counts"] == "321"


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_run_lengths_are_those_of_pycocotools(labels: LabelsU8, pycocotools_mask: Any) -> None:
    masks = run_length_masks(labels)
    assert list(masks) == [index for index in np.unique(labels) if index != 255]
    for index, mask in masks.items():
        expected = pycocotools_mask.encode(np.asfortranarray(labels == index, np.uint8))
        assert mask == {"size": list(labels.shape), "counts": expected["counts"].decode()}
        np.testing.assert_array_equal(pycocotools_mask.decode(mask), labels == index)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_polygons_rasterise_to_the_very_pixels(labels: LabelsU8, pycocotools_mask: Any) -> None:
    masks = polygon_masks(labels)
    assert list(masks) == [index for index in np.unique(labels) if index != 255]
    for index, polygons in masks.items():
        drawn = pycocotools_mask.merge(pycocotools_mask.frPyObjects(polygons, *labels.shape))
        np.testing.assert_array_equal(pycocotools_mask.decode(drawn), labels == index)


def test_real_labels_come_back_from_both(data_root: Path, pycocotools_mask: Any) -> None:
    files = sorted((data_root / "camvid" / "val" / "labels").glob("*.png"))[::25]
    if not files:
        pytest.skip("needs CamVid in EDGESEG_DATA")
    for file in files:
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        for index, mask in run_length_masks(labels).items():
            np.testing.assert_array_equal(pycocotools_mask.decode(mask), labels == index)
        for index, polygons in polygon_masks(labels).items():
            drawn = pycocotools_mask.merge(pycocotools_mask.frPyObjects(polygons, *labels.shape))
            np.testing.assert_array_equal(pycocotools_mask.decode(drawn), labels == index)


def test_an_outline_runs_along_the_edges_of_pixels() -> None:
    labels = np.full((4, 6), 255, np.uint8)
    labels[1:3, 2:5] = 3
    masks = polygon_masks(labels)
    assert list(masks) == [3]
    (polygon,) = masks[3]
    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [(2, 1), (2, 3), (5, 1), (5, 3)]


def test_regions_have_a_polygon_each_and_a_hole_has_none_of_its_own() -> None:
    labels = np.zeros((30, 40), np.uint8)
    labels[2:12, 2:12] = labels[15:28, 15:38] = 1
    labels[18:22, 20:30] = 0
    masks = polygon_masks(labels)
    assert len(masks[1]) == 2
    assert sorted(_area(polygon) for polygon in masks[1]) == pytest.approx([100, 13 * 23 - 4 * 10], abs=1)


def _area(polygon: list[float]) -> float:
    """By the shoelace formula, holes taken off."""
    x, y = np.array(polygon[::2]), np.array(polygon[1::2])
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def test_without_any_label_there_are_no_masks() -> None:
    nothing = np.full((4, 4), 255, np.uint8)
    assert run_length_masks(nothing) == {}
    assert polygon_masks(nothing) == {}
