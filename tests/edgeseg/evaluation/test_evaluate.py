from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg import Segmenter
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.evaluation.evaluate import evaluate, evaluate_predictions

COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def save_folders(root, pairs):
    """Save (labels, predictions) pairs as root/labels/<i>.png and root/predictions/<i>.png."""
    for index, (labels, predictions) in enumerate(pairs):
        save(root / "labels" / f"{index:03}.png", np.array(labels, np.uint8))
        save(root / "predictions" / f"{index:03}.png", np.array(predictions, np.uint8))
    return root / "predictions", root / "labels"


def save_dataset(root, names=("red", "green", "blue"), labels="labels", **keys):
    splits = {"val": {"images": "images", "labels": labels}}
    (root / "dataset.yaml").write_text(yaml.safe_dump({"names": list(names), "splits": splits, **keys}))
    return root / "dataset.yaml"


def naive_miou(pairs, num_classes, ignore):
    """Mean over classes of intersection over union, pixel by pixel."""
    intersection, union = [0] * num_classes, [0] * num_classes
    for labels, predictions in pairs:
        for truth, predicted in zip(np.ravel(labels).tolist(), np.ravel(predictions).tolist(), strict=True):
            if truth in ignore:
                continue
            union[truth] += 1
            if truth == predicted:
                intersection[truth] += 1
            elif predicted < num_classes:
                union[predicted] += 1
    return np.mean([i / u for i, u in zip(intersection, union, strict=True) if u])


def random_pairs(rng, values, count=5):
    for _ in range(count):
        shape = rng.integers(1, 40, 2)
        labels = rng.choice(values, shape).astype(np.uint8)
        guess = rng.choice([v for v in values if v not in (11, 255)], shape).astype(np.uint8)
        yield labels, np.where(rng.random(shape) < 0.6, np.where(np.isin(labels, (11, 255)), guess, labels), guess)


@pytest.mark.parametrize("values", [range(11), (0, 2, 3, 10), (*range(11), 11), (1, 7, 255), (*range(11), 11, 255)])
def test_agrees_with_the_naive_count_on_any_folder(tmp_path, values):
    pairs = list(random_pairs(np.random.default_rng(sum(values)), list(values)))
    folders = save_folders(tmp_path, pairs)
    evaluation = evaluate_predictions(*folders, num_classes=11, ignore_index=11)
    assert evaluation.confusion.miou() == pytest.approx(naive_miou(pairs, 11, {11, 255}), abs=1e-9)
    assert evaluation.images == 5


def test_a_no_label_prediction_is_a_miss(tmp_path):
    folders = save_folders(tmp_path, [([[0, 0, 1, 1]], [[0, 11, 1, 255]])])
    evaluation = evaluate_predictions(*folders, num_classes=2, ignore_index=11)
    assert evaluation.confusion.iou().tolist() == [0.5, 0.5]
    assert evaluation.confusion.pixel_accuracy() == 0.5


def test_the_dataset_that_is_passed_names_the_classes(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1, 7]], [[0, 1, 0]])])
    dataset = Dataset.load(save_dataset(tmp_path, names=("road", "sky"), labels="elsewhere", ignore_index=7))
    evaluation = evaluate_predictions(*folders, dataset=dataset)
    assert evaluation.class_names == ("road", "sky")
    assert evaluation.confusion.miou() == 1.0
    with pytest.raises(InputError, match="already says"):
        evaluate_predictions(*folders, dataset=dataset, num_classes=2)


def test_the_dataset_above_the_labels_is_found_and_told(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1, 7]], [[0, 1, 0]])])
    path = save_dataset(tmp_path, ignore_index=7)
    evaluation = evaluate_predictions(*folders)
    assert evaluation.class_names == ("red", "green", "blue")
    assert evaluation.origin == str(path)


def test_what_is_said_wins_over_what_is_found(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1, 7]], [[0, 1, 0]])])
    save_dataset(tmp_path)
    assert len(evaluate_predictions(*folders, num_classes=8).class_names) == 8


def test_colour_labels_against_index_predictions(tmp_path):
    save(tmp_path / "labels" / "a.png", COLORS[np.array([[0, 1, 2]])])
    save(tmp_path / "predictions" / "a.png", np.array([[0, 1, 1]], np.uint8))
    save_dataset(tmp_path, colors=COLORS.tolist(), label_format="rgb")
    evaluation = evaluate_predictions(tmp_path / "predictions", tmp_path / "labels")
    assert evaluation.confusion.iou().tolist() == [1.0, 0.5, 0.0]


def test_classes_are_inferred_from_the_highest_index(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1, 255]], [[0, 1, 1]]), ([[0, 0, 0]], [[0, 3, 0]])])
    evaluation = evaluate_predictions(*folders)
    assert evaluation.class_names == ("0", "1", "2", "3")
    np.testing.assert_allclose(evaluation.confusion.iou(), [0.75, 1.0, np.nan, 0.0])


def test_a_value_that_may_be_a_class_or_no_label_is_asked_about(tmp_path):
    pairs = [([[0, 1, 11]], [[0, 1, 0]])]
    folders = save_folders(tmp_path, pairs)
    message = r"labels hold index 11, which no prediction holds.*ignore_index to 11 or num_classes to 12"
    with pytest.raises(DatasetError, match=message):
        evaluate_predictions(*folders)
    assert evaluate_predictions(*folders, ignore_index=11).confusion.miou() == 1.0
    assert evaluate_predictions(*folders, num_classes=12).confusion.miou() == pytest.approx((0.5 + 1 + 0) / 3)


def test_a_part_of_the_labels_can_be_measured(tmp_path):
    predictions, labels = save_folders(tmp_path, [([[0, 1]], [[0, 1]]), ([[0, 1]], [[1, 1]]), ([[1, 1]], [[1, 1]])])
    (predictions / "001.png").unlink()
    with pytest.raises(DatasetError, match=r"1 file\(s\) in .*labels have no partner.*: 001. .*set partial"):
        evaluate_predictions(predictions, labels, num_classes=2)
    evaluation = evaluate_predictions(predictions, labels, num_classes=2, partial=True)
    assert (evaluation.images, evaluation.labels) == (2, 3)
    assert evaluation.confusion.miou() == 1.0
    assert evaluation.to_dict()["labels"] == 3
    (labels / "000.png").unlink()
    with pytest.raises(DatasetError, match=r"1 file\(s\) in .*predictions have no partner in .*labels: 000"):
        evaluate_predictions(predictions, labels, num_classes=2, partial=True)


@pytest.mark.parametrize("predicted", [[0, 1, 1, 0], [0, 255, 255, 0]])
@pytest.mark.parametrize("told", ["nothing", "data set"])
def test_masks_are_two_classes(tmp_path, predicted, told):
    folders = save_folders(tmp_path, [([[0, 255, 255, 255]], [predicted])] * 2)
    dataset = Dataset.load(save_dataset(tmp_path, names=("ground", "crack"))) if told == "data set" else None
    evaluation = evaluate_predictions(*folders, dataset=dataset)
    assert evaluation.confusion.matrix.tolist() == [[2, 0], [2, 4]]
    assert evaluation.confusion.miou() == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert evaluation.class_names == (("ground", "crack") if dataset else ("0", "1"))


def test_one_class_and_no_label_is_not_a_mask_where_predictions_say_otherwise(tmp_path):
    folders = save_folders(tmp_path, [([[0, 255, 0]], [[0, 2, 0]])])
    assert evaluate_predictions(*folders).class_names == ("0", "1", "2")


def test_what_the_means_leave_out_is_said(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1]], [[0, 2]])])
    evaluation = evaluate_predictions(*folders, num_classes=4)
    assert evaluation.left_out() == "over 3 of 4 classes; no pixel of 3; accuracy over 2 of 4 classes; no pixel of 2, 3"
    assert evaluate_predictions(*folders, num_classes=3).left_out() == "accuracy over 2 of 3 classes; no pixel of 2"
    assert evaluation.to_dict()["left_out"] == evaluation.left_out()


def test_a_class_that_is_never_predicted_counts_once_no_label_is_known(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1, 10, 11]], [[0, 1, 0, 0]])])
    evaluation = evaluate_predictions(*folders, ignore_index=11)
    assert len(evaluation.class_names) == 11
    assert evaluation.confusion.miou() == pytest.approx((0.5 + 1 + 0) / 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p, t: (p / "000.png").unlink(), r"1 file\(s\) in .*labels have no partner in .*predictions: 000"),
        (lambda p, t: (t / "000.png").unlink(), r"1 file\(s\) in .*predictions have no partner in .*labels: 000"),
        (lambda p, t: save(p / "000.png", np.zeros((3, 4), np.uint8)), r"predictions/000\.png is 4x3 but its .* 2x1"),
        (lambda p, t: save(p / "000.png", np.full((1, 2), 9, np.uint8)), r"predictions/000\.png holds label index 9"),
        (lambda p, t: save(t / "000.png", np.full((1, 2), 9, np.uint8)), r"labels/000\.png holds label index 9"),
        (lambda p, t: (p / "000.png").write_bytes(b"x"), r"predictions/000\.png is not an image"),
        (lambda p, t: (p / "notes.txt").write_bytes(b"x"), r"notes\.txt, which is not an image"),
        (lambda p, t: [f.unlink() for f in p.iterdir()], "predictions is empty"),
        (lambda p, t: save(p / "000.png", np.zeros((1, 2, 3), np.uint8) + COLORS[:1]), "is a colour image"),
    ],
    ids=["missing", "extra", "size", "prediction index", "label index", "damaged", "text file", "empty", "colour"],
)
def test_folders_that_do_not_fit_name_the_file(tmp_path, spoil, message):
    predictions, labels = save_folders(tmp_path, [([[0, 1]], [[0, 1]])] * 2)
    spoil(predictions, labels)
    with pytest.raises(DatasetError, match=message):
        evaluate_predictions(predictions, labels, num_classes=2)


@pytest.fixture
def colored(tmp_path):
    """A dataset whose images show their labels' colours, at sizes that are not the model's."""
    rng = np.random.default_rng(5)
    for index, (height, width) in enumerate([(64, 96), (37, 51), (130, 70)]):
        labels = rng.integers(0, 3, (3, 3)).astype(np.uint8).repeat(height, 0).repeat(width, 1)[::3, ::3]
        labels = np.ascontiguousarray(labels)
        save(tmp_path / "images" / f"{index}.png", COLORS[labels])
        labels[:2] = 255
        save(tmp_path / "labels" / f"{index}.png", labels)
    return Dataset.load(save_dataset(tmp_path))


def test_a_model_is_measured_at_the_size_of_the_labels(colored, tiny_onnx):
    with Segmenter.open(tiny_onnx) as segmenter:
        evaluation = evaluate(segmenter, colored)
        pairs = []
        for sample in colored.split("val").samples():
            image, labels = colored.read(sample)
            pairs.append((labels, segmenter(image).labels))
    assert evaluation.images == 3
    assert evaluation.confusion.miou() == pytest.approx(naive_miou(pairs, 3, {255}), abs=1e-9)
    assert evaluation.confusion.miou() > 0.7
    assert evaluation.confusion.pixels().sum() == sum((labels != 255).sum() for labels, _ in pairs)


def test_progress_sees_every_sample(colored, tiny_onnx):
    seen = []
    with Segmenter.open(tiny_onnx) as segmenter:
        evaluate(segmenter, colored, progress=lambda samples: (seen.append(s) or s for s in samples))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("red", "green"), "the model has 3 classes.* has 2"),
        (("red", "blue", "green"), "class 1 is 'green' to the model"),
    ],
)
def test_a_model_of_other_classes_is_refused(colored, tiny_onnx, names, message):
    dataset = Dataset.load(save_dataset(colored.path.parent, names=names))
    with Segmenter.open(tiny_onnx) as segmenter, pytest.raises(ModelError, match=message):
        evaluate(segmenter, dataset)


def test_figures_as_json_have_null_where_undefined(tmp_path):
    folders = save_folders(tmp_path, [([[0, 1, 1, 1]], [[0, 1, 1, 0]])])
    figures = json.loads(json.dumps(evaluate_predictions(*folders, num_classes=3).to_dict(), allow_nan=False))
    assert figures["miou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures["pixel_accuracy"] == 0.75
    assert figures["classes"][2] == {"name": "2", "iou": None, "accuracy": None, "dice": None, "pixels": 0}
    assert figures["confusion"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
