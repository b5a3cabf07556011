from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.evaluation.metrics import ConfusionMatrix, left_out


def naive_iou(labels, predictions, num_classes):
    """IoU class by class from sets of pixels: the definition, told without a confusion matrix."""
    ious = []
    counted = labels != 255
    for index in range(num_classes):
        truth, predicted = (labels == index) & counted, (predictions == index) & counted
        union = (truth | predicted).sum()
        ious.append((truth & predicted).sum() / union if union else np.nan)
    return np.array(ious)


def test_small_case_by_hand():
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([0, 0, 0, 1, 1, 255], np.uint8), np.array([0, 0, 1, 1, 255, 0], np.uint8))
    assert confusion.matrix.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert confusion.pixels().tolist() == [3, 2, 0]
    np.testing.assert_allclose(confusion.iou(), [2 / 3, 1 / 3, np.nan])
    np.testing.assert_allclose(confusion.class_accuracy(), [2 / 3, 1 / 2, np.nan])
    np.testing.assert_allclose(confusion.dice(), [4 / 5, 2 / 4, np.nan])
    assert confusion.miou() == pytest.approx(1 / 2)
    assert confusion.mean_class_accuracy() == pytest.approx(7 / 12)
    assert confusion.mean_dice() == pytest.approx(13 / 20)
    assert confusion.pixel_accuracy() == pytest.approx(3 / 5)


@pytest.mark.parametrize("num_classes", [1, 2, 11, 255])
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (61, 37)])
def test_agrees_with_the_definition_on_random_images(num_classes, shape):
    rng = np.random.default_rng(num_classes * 100 + shape[0])
    present = rng.permutation(num_classes)[: max(1, num_classes * 2 // 3)]
    values = np.append(present, 255).astype(np.uint8)
    images = [(rng.choice(values, shape), rng.choice(values, shape)) for _ in range(4)]
    confusion = ConfusionMatrix.of(num_classes, iter(images))
    labels, predictions = (np.concatenate(stack) for stack in zip(*images, strict=True))
    np.testing.assert_allclose(confusion.iou(), naive_iou(labels, predictions, num_classes))
    counted = labels != 255
    if counted.any():
        assert confusion.pixel_accuracy() == pytest.approx((labels == predictions)[counted].mean())


def test_a_class_only_predicted_counts_as_zero():
    confusion = ConfusionMatrix(2)
    confusion.update(np.zeros(4, np.uint8), np.array([0, 0, 0, 1], np.uint8))
    assert confusion.iou().tolist() == [0.75, 0.0]


@pytest.mark.filterwarnings("error")
def test_nothing_counted_is_nan_without_a_warning():
    confusion = ConfusionMatrix(2)
    confusion.update(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert np.isnan([confusion.miou(), confusion.pixel_accuracy(), confusion.mean_dice()]).all()


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 3], [0, 0], "labels hold index 3, but the classes are 0..2"),
        ([0, 0], [0, 254], "predictions hold index 254"),
        ([0, 0], [0], "one shape"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_counted(labels, predictions, message):
    confusion = ConfusionMatrix(3)
    with pytest.raises(InputError, match=message):
        confusion.update(np.array(labels, np.uint8), np.array(predictions, np.uint8))
    assert confusion.matrix.sum() == 0


def test_other_dtypes_are_refused():
    with pytest.raises(InputError, match="int64"):
        ConfusionMatrix(3).update(np.zeros(2, np.uint8), np.zeros(2, np.int64))


@pytest.mark.parametrize("count", [0, 256])
def test_number_of_classes_has_bounds(count):
    with pytest.raises(InputError, match="1 to 255"):
        ConfusionMatrix(count)


def test_a_mean_over_fewer_classes_says_so():
    names = ["road", "fence", "sign"]
    assert left_out(np.array([0.5, 0.0, 1.0]), names) == ""
    assert left_out(np.array([0.5, np.nan, 1.0]), names) == "over 2 of 3 classes; no pixel of fence"
    assert left_out(np.full(3, np.nan), names) == "over 0 of 3 classes; no pixel of road, fence, sign"
    many = [f"c{index}" for index in range(19)]
    figures = np.where(np.arange(19) < 10, 0.5, np.nan)
    assert left_out(figures, many) == "over 10 of 19 classes; no pixel of c10, c11, c12, c13, c14 and 4 more"


def test_large_pictures_are_counted_in_parts():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (3000, 3001)).astype(np.uint8)
    predictions = rng.integers(0, 3, (3000, 3001)).astype(np.uint8)
    confusion = ConfusionMatrix(3)
    confusion.update(labels, predictions)
    wanted = [[int(((labels == t) & (predictions == p)).sum()) for p in range(3)] for t in range(3)]
    assert confusion.matrix.tolist() == wanted
    confusion.update(labels[:, ::2], predictions[:, ::2])
    assert confusion.matrix.sum() == labels.size + labels[:, ::2].size
