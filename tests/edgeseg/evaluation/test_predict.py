"""What a model says of pictures, as files: to be taught by, or to be taken for labels."""

from __future__ import annotations

import time

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.data.dataset import Dataset
from edgeseg.data.soft_labels import STEPS_PER_NAT, SoftLabels
from edgeseg.errors import DatasetError, InputError, ModelError, SinkError
from edgeseg.evaluation.predict import pictures_of, predict_labels, predict_probabilities
from edgeseg.segmenter import Segmenter
from edgeseg.types import Frame


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two pictures of other sizes than the model's: stripes of red, green and blue, and one that is nearly grey."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    stripes = np.zeros((64, 96, 3), np.uint8)
    for channel in range(3):
        stripes[:, 32 * channel : 32 * channel + 32, channel] = 200
    grey = np.full((32, 24, 3), 100, np.uint8)
    grey[..., 1] = 101
    for name, image in (("stripes", stripes), ("grey", grey)):
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(np.zeros(image.shape[:2], np.uint8)).save(folder / "labels" / f"{name}.png")
    (folder / "tags.csv").write_text("stripes,red,green,blue\ngrey,green\n")
    splits = {"train": {"images": "images", "labels": "labels"}, "seen": {"images": "images", "tags": "tags.csv"}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": ["red", "green", "blue"], "splits": splits}))
    return Dataset.load(folder)


@pytest.fixture
def segmenter(tiny_onnx):
    with Segmenter.open(tiny_onnx, threads=1) as segmenter:
        yield segmenter


@pytest.mark.parametrize("split", ["train", "seen"])
def test_soft_labels_are_what_the_model_says(data, segmenter, tmp_path, split):
    predicted = predict_probabilities(segmenter, pictures_of(data, split), tmp_path / "soft")
    assert predicted.pictures == 2
    assert predicted.file_bytes == sum(file.stat().st_size for file in (tmp_path / "soft").glob("*.npz"))
    labels = SoftLabels.open(tmp_path / "soft")
    assert (labels.class_names, labels.size) == (("red", "green", "blue"), (4, 6))
    assert np.array_equal(labels.read("stripes").argmin(axis=0), np.array([[0, 0, 1, 1, 2, 2]] * 4))
    nats = labels.read("grey")[:, 1, 1] / STEPS_PER_NAT
    expected = -np.log(np.exp([0, 1, 0]) / np.exp([0, 1, 0]).sum())
    assert nats == pytest.approx(expected, abs=0.5 / STEPS_PER_NAT)


def test_labels_are_of_the_size_of_the_picture_and_of_what_is_sure(data, segmenter, tmp_path):
    predicted = predict_labels(segmenter, pictures_of(data, "train"), tmp_path / "sure", confidence=0.9)
    stripes, grey = (np.asarray(Image.open(tmp_path / "sure" / f"{name}.png")) for name in ("stripes", "grey"))
    assert stripes.shape == (64, 96)
    assert grey.shape == (32, 24)
    assert (grey == 255).all()  # 0.58 green
    assert set(np.unique(stripes[:, 4:28])) == {0}
    assert predicted.labelled == pytest.approx(((stripes != 255).sum() + (grey != 255).sum()) / (64 * 96 + 32 * 24))
    every = predict_labels(segmenter, pictures_of(data, "train"), tmp_path / "all")
    assert every.labelled == 1
    assert (np.asarray(Image.open(tmp_path / "all" / "grey.png")) == 1).all()


def test_what_is_sure_lies_where_the_label_does_whatever_the_fit(tiny_onnx, tmp_path):
    """A portrait in a landscape canvas: what is beside it there is no part of the picture."""
    picture = np.full((96, 48, 3), 90, np.uint8)
    picture[:, :24, 0] = 255  # red on the left; on the right the channels are alike, so that nothing is sure
    frame = Frame(picture, 0, 0.0, name="a")
    with Segmenter.open(tiny_onnx, threads=1, fit="letterbox") as segmenter:
        predict_labels(segmenter, [frame], tmp_path / "sure", confidence=0.9)
    sure = np.asarray(Image.open(tmp_path / "sure" / "a.png"))
    assert (sure[:, :14] == 0).all()  # the picture is two logits wide, whose centres are at 12 and 36
    assert (sure[:, 18:] == 255).all()


def test_labels_that_somebody_drew_are_not_replaced(data, segmenter, tmp_path):
    before = Image.fromarray(np.zeros((2, 2), np.uint8))
    before.save(tmp_path / "grey.png")
    with pytest.raises(SinkError, match=r"grey\.png is there already"):
        predict_labels(segmenter, pictures_of(data, "train"), tmp_path)
    assert Image.open(tmp_path / "grey.png").size == (2, 2)


def test_frames_without_a_name_are_called_by_their_number(segmenter, tmp_path):
    frames = [Frame(np.zeros((32, 48, 3), np.uint8), index, time.monotonic()) for index in (0, 7)]
    predict_probabilities(segmenter, frames, tmp_path)
    assert sorted(file.name for file in tmp_path.glob("*.npz")) == ["000000.npz", "000007.npz"]
    twice = [Frame(np.zeros((32, 48, 3), np.uint8), 0, 0.0, name="a")] * 2
    with pytest.raises(SinkError, match="two images are called a"):
        predict_labels(segmenter, twice, tmp_path / "labels")


def test_what_cannot_be_done_is_told(data, segmenter, tiny_labels_onnx, tmp_path):
    with pytest.raises(InputError, match="the confidence is 2"):
        predict_labels(segmenter, [], tmp_path, confidence=2)
    for predict in (predict_labels, predict_probabilities):
        with pytest.raises(DatasetError, match="there is no picture"):
            predict(segmenter, [], tmp_path)
    with Segmenter.open(tiny_labels_onnx, threads=1) as labels:
        with pytest.raises(ModelError, match="returns labels, of which soft labels cannot be made"):
            predict_probabilities(labels, pictures_of(data, "train"), tmp_path)
        with pytest.raises(ModelError, match="of which a confidence cannot be made"):
            predict_labels(labels, pictures_of(data, "train"), tmp_path, confidence=0.5)
        assert predict_labels(labels, pictures_of(data, "train"), tmp_path / "labels").pictures == 2
