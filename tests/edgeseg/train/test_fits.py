"""Training with each fit: it sees what a run sees, and says what edgeseg eval says."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from quick_training import QUICK

from edgeseg.data.dataset import Dataset
from edgeseg.errors import InputError
from edgeseg.evaluation.evaluate import evaluate
from edgeseg.models.checkpoint import load_network
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.train import data as training_data
from edgeseg.train.augment import Augmented
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors
from edgeseg.train.loop import Trainer
from edgeseg.train.qat import begin, complete
from edgeseg.train.rare import labelled_pixel
from edgeseg.video.sources.image import ImageSource

FITS = ("stretch", "letterbox", "crop", "tile")
SPEC = ModelSpec(network="x", class_names=("ground", "box", "disc"), input_size=(32, 48), stride=8)


def write_data(folder, pictures, labels, **more):
    """A dataset of one split, train and val alike, of these arrays."""
    for kind, arrays in (("images", pictures), ("labels", labels)):
        (folder / kind).mkdir(parents=True)
        for index, array in enumerate(arrays):
            assert cv2.imwrite(str(folder / kind / f"{index}.png"), array[..., ::-1] if array.ndim == 3 else array)
    splits = {name: {"images": "images", "labels": "labels"} for name in ("train", "val")}
    described = {"names": list(SPEC.class_names), "splits": splits, **more}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described))
    return folder


@pytest.fixture
def odd_pictures(tmp_path):
    """A portrait in colour, a panorama in grey, and one of 12 bits in files of 16."""
    rng = np.random.default_rng(0)
    colour, grey, deep = (
        rng.integers(0, 256, (70, 40, 3), np.uint8),
        rng.integers(0, 256, (30, 100), np.uint8),
        rng.integers(0, 4096, (50, 60), np.uint16),
    )
    labels = [rng.integers(0, 3, array.shape[:2], np.uint8) for array in (colour, grey, deep)]
    return write_data(tmp_path / "data", [colour, grey, deep], labels, bit_depth=12)


@pytest.mark.parametrize("fit", FITS)
def test_training_sees_what_a_run_sees(odd_pictures, tiny_onnx, fit):
    spec = SPEC.fitted(fit)
    split = SplitTensors(Dataset.load(odd_pictures), "train", spec.input_size, spec)
    segmenter = Segmenter.open(tiny_onnx, threads=1, fit=fit)
    frames = list(ImageSource([odd_pictures / "images" / f"{index}.png" for index in range(3)], bit_depth=12))
    assert len(frames) == len(split) == 3
    for frame, (image, labels) in zip(frames, split, strict=True):
        (inference,) = segmenter.infer([frame.rgb_u8])
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), inference.input_u8)
        assert labels.shape == image.shape[1:]
        border = np.ones(labels.shape, bool)
        border[inference.placement.window.slices] = False
        assert (labels.numpy()[border] == 255).all()


@pytest.fixture
def large(tmp_path):
    """Two pictures of 400x300, of ground and its noise, with one small box in each, and a third of them unlabelled."""
    rng = np.random.default_rng(1)
    pictures, labels = [], []
    for index in range(2):
        truth = np.zeros((300, 400), np.uint8)
        truth[:, 260:] = 255
        truth[100 + 60 * index :, :][:12, 20:32] = 1
        truth[40:60, 200:220] = 2
        pictures.append(
            np.clip(np.array([90, 200, 40])[truth % 255][..., None] + rng.normal(0, 9, (300, 400, 3)), 0, 255)
        )
        labels.append(truth)
    return write_data(tmp_path / "large", [picture.astype(np.uint8) for picture in pictures], labels)


def test_tiles_are_trained_on_as_crops_of_full_resolution_that_hold_labels(large):
    config = replace(QUICK, data=large, height=32, width=48, fit="tile", color_jitter=0.0)
    split = SplitTensors(Dataset.load(large), "train", (32, 48), SPEC.fitted("tile"))
    assert split[0][1].shape == (304, 400)  # 300 rows and four of border, to whole cells
    crops = [Augmented(split, 2, config)[seed % 2, seed] for seed in range(200)]
    assert all(labels.shape == (32, 48) and image.shape == (3, 32, 48) for image, labels in crops)
    held = [set(labels.unique().tolist()) - {255} for _, labels in crops]
    assert all(held)
    # A box fills a thousandth of a picture; every other crop is of a class drawn from three.
    assert sum(1 in classes for classes in held) > 25
    again = Augmented(split, 2, config)[1, 7]
    assert all(torch.equal(one, other) for one, other in zip(crops[7], again, strict=True))


def test_crops_of_tiles_are_those_of_the_whole_picture(large):
    """Cutting out what a crop reaches, before it is warped, changes nothing."""
    config = replace(QUICK, data=large, height=32, width=48, fit="tile", color_jitter=0.0)
    split = SplitTensors(Dataset.load(large), "train", (32, 48), SPEC.fitted("tile"))
    crops = Augmented(split, 2, config)
    for seed in range(40):
        image, labels = crops[0, seed]
        known = labels != 255
        level = torch.tensor([90, 200, 40])[torch.where(known, labels, 0).long()]
        difference = (image.float().mean(dim=0) - level).abs()
        assert (difference[known] < 30).float().mean() > 0.9


def test_a_labelled_pixel_has_a_label():
    labels = np.full((40, 50), 255, np.uint8)
    assert labelled_pixel(labels, torch.Generator().manual_seed(0)) is None
    labels[7, 9], labels[20:40, :] = 2, 0
    found = [labelled_pixel(labels, torch.Generator().manual_seed(seed)) for seed in range(60)]
    values = [labels[point] for point in found]
    assert set(values) == {0, 2}
    assert 5 < values.count(2) < 30


def test_pictures_in_full_size_are_kept_as_far_as_memory_allows(large, monkeypatch):
    monkeypatch.setattr(training_data, "CACHE_BYTES", 4 * 304 * 400)
    split = SplitTensors(Dataset.load(large), "train", (32, 48), SPEC.fitted("tile"))
    assert not split.cached
    monkeypatch.setattr(training_data, "CACHE_BYTES", 8 * 304 * 400)
    split = SplitTensors(Dataset.load(large), "train", (32, 48), SPEC.fitted("tile"))
    assert split.cached
    split.read_all()
    assert split[0][0] is split[0][0]


@pytest.mark.parametrize("fit", ["crop", "tile"])
def test_what_training_measures_is_what_eval_measures(large, tmp_path, fit):
    config = replace(QUICK, data=large, output=tmp_path / "run", height=32, width=48, batch_size=2, epochs=1, fit=fit)
    trained = Trainer(config).run()
    _, spec = load_network(trained.model)
    assert spec.fit == fit
    with Segmenter.open(trained.model, threads=1) as segmenter:
        evaluation = evaluate(segmenter, Dataset.load(large), "val")
    assert evaluation.confusion.miou() == pytest.approx(trained.miou, abs=1e-6)

    settings = complete({"qat": str(trained.model), "data": large, "output": tmp_path / "qat"})
    assert settings["fit"] == fit
    with pytest.raises(InputError, match=f"was trained with fit {fit}"):
        begin(TrainConfig(**{**settings, "fit": "stretch"}))


def test_training_for_int8_sees_pictures_as_before(large, tmp_path):
    common = {"data": large, "height": 32, "width": 48, "batch_size": 2, "epochs": 1, "fit": "tile"}
    first = Trainer(replace(QUICK, output=tmp_path / "run", **common)).run()
    second = Trainer(replace(QUICK, output=tmp_path / "qat", qat=str(first.model), aux_weight=0.0, **common)).run()
    assert load_network(second.model)[1].fit == "tile"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "pad"}, "fit is 'pad'"),
        ({"tile_scale": 0.5}, "tile_scale is 0.5, fit stretch"),
        ({"fit": "tile", "tile_scale": 9.0}, "tile_scale is 9"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        replace(QUICK, **settings)


def test_labels_of_a_letterboxed_picture_are_whole_classes(tmp_path):
    """Nearest neighbour into the window, 255 beside it."""
    labels = np.zeros((64, 32), np.uint8)
    labels[:, 16:] = 2
    folder = write_data(tmp_path / "d", [np.zeros((64, 32, 3), np.uint8)], [labels])
    _, classes = SplitTensors(Dataset.load(folder), "train", (32, 48), SPEC.fitted("letterbox"))[0]
    expected = np.full((32, 48), 255, np.uint8)
    expected[:, 16:24], expected[:, 24:32] = 0, 2
    np.testing.assert_array_equal(classes.numpy(), expected)
    assert Image.open(folder / "labels/0.png").size == (32, 64)
