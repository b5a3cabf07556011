from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError
from edgeseg.train import data
from edgeseg.train.data import SplitTensors, SyntheticTensors, check_classes


def test_a_sample_is_the_files_pixels_where_the_size_fits(shapes):
    split = SplitTensors(Dataset.load(shapes), "train", (64, 96))
    assert len(split) == 12
    image, labels = split[3]
    np.testing.assert_array_equal(
        image.permute(1, 2, 0).numpy(), np.asarray(Image.open(shapes / "train/images/03.png"))
    )
    np.testing.assert_array_equal(labels.numpy(), np.asarray(Image.open(shapes / "train/labels/03.png")))


def test_labels_as_colours_and_as_index_are_the_same(shapes, shapes_rgb):
    index, rgb = (SplitTensors(Dataset.load(folder), "val", (64, 96)) for folder in (shapes, shapes_rgb))
    for (image, labels), (image_rgb, labels_rgb) in zip(index, rgb, strict=True):
        assert torch.equal(image, image_rgb)
        assert torch.equal(labels, labels_rgb)


@pytest.mark.parametrize("size", [(8, 12), (48, 72)])
def test_both_are_stretched_to_the_models_size_and_labels_never_blended(camvid_like, size):
    image, labels = SplitTensors(Dataset.load(camvid_like), "train", size)[0]
    assert image.shape == (3, *size)
    assert (image == 99).all()
    quarter = size[1] // 4
    expected = torch.tensor([0, 0, 3, 255], dtype=torch.uint8).repeat_interleave(quarter).expand(size)
    assert torch.equal(labels, expected)


def test_a_sample_comes_out_the_same_again(shapes):
    split = SplitTensors(Dataset.load(shapes), "val", (32, 48))
    first = split[0][0].clone()
    assert torch.equal(split[0][0], first)


def test_pixels_are_counted_in_the_label_files_and_no_picture_is_read(camvid_like, tmp_path):
    shutil.copytree(camvid_like, tmp_path / "data")
    (tmp_path / "data" / "images" / "a.png").write_bytes(b"")
    split = SplitTensors(Dataset.load(tmp_path / "data"), "train", (8, 12))
    assert split.class_pixels().tolist() == [2 * 96, 0, 0, 96, 0, 0, 0, 0, 0, 0, 0]


def test_labels_keep_their_own_size_where_they_are_compared(camvid_like):
    split = SplitTensors(Dataset.load(camvid_like), "train", (8, 12))
    assert split.file_labels(0).tolist() == [[0] * 12 + [3] * 6 + [255] * 6] * 16


def test_reading_all_finds_the_damaged_picture(shapes, tmp_path):
    shutil.copytree(shapes, tmp_path / "data")
    (tmp_path / "data" / "train" / "images" / "07.png").write_bytes(b"hello")
    split = SplitTensors(Dataset.load(tmp_path / "data"), "train", (64, 96))
    with pytest.raises(DatasetError, match=r"07\.png"):
        split.read_all()


def test_labels_without_any_class_are_named(camvid_like, tmp_path):
    (tmp_path / "empty").mkdir()
    Image.fromarray(np.full((16, 24), 255, np.uint8)).save(tmp_path / "empty" / "a.png")
    text = (camvid_like / "dataset.yaml").read_text()
    text = text.replace("images: images", f"images: {camvid_like / 'images'}").replace(
        "labels: labels", "labels: empty"
    )
    (tmp_path / "dataset.yaml").write_text(text)
    split = SplitTensors(Dataset.load(tmp_path), "train", (16, 24))
    with pytest.raises(DatasetError, match=r"no pixel of the 1 labels in split train of .*dataset\.yaml has a class"):
        split.class_pixels()


def test_synthetic_scenes_need_camvids_classes(shapes, camvid_like):
    with pytest.raises(DatasetError, match=r"does not have CamVid's classes.*Set synthetic_scenes to 0"):
        SyntheticTensors(Dataset.load(shapes), 1, (64, 96), seed=0)
    assert len(SyntheticTensors(Dataset.load(shapes), 0, (64, 96), seed=0)) == 0
    assert len(SyntheticTensors(Dataset.load(camvid_like), 5, (64, 96), seed=0)) == 5


def test_synthetic_scenes_are_labelled_pictures_that_differ_by_index_and_seed(camvid_like):
    dataset = Dataset.load(camvid_like)
    scenes = SyntheticTensors(dataset, 2, (64, 96), seed=0)
    image, labels = scenes[0]
    assert image.shape == (3, 64, 96)
    assert labels.shape == (64, 96)
    assert image.dtype == labels.dtype == torch.uint8
    assert len(labels[labels != 255].unique()) > 2
    assert labels[labels != 255].max() < 11
    assert torch.equal(scenes[0][0], image)
    assert not torch.equal(scenes[1][0], image)
    assert not torch.equal(SyntheticTensors(dataset, 2, (64, 96), seed=1)[0][0], image)


def test_a_class_without_a_training_picture_is_named(camvid_like):
    split = SplitTensors(Dataset.load(camvid_like), "train", (64, 96))
    none = SyntheticTensors(split.dataset, 0, (64, 96), seed=0)
    with pytest.raises(
        DatasetError, match=r"no pixel of split train .* has class building, pole, .*bicyclist\. Label some"
    ):
        check_classes(split, split.class_pixels(), none)


def test_rendered_pictures_show_classes_too(camvid_like):
    split = SplitTensors(Dataset.load(camvid_like), "train", (64, 96))
    scenes = SyntheticTensors(split.dataset, 200, (64, 96), seed=0)
    check_classes(split, split.class_pixels(), scenes)


def test_what_is_kept_in_memory_is_bounded_over_both_splits(shapes, monkeypatch):
    dataset = Dataset.load(shapes)
    monkeypatch.setattr(data, "CACHE_BYTES", 4 * 64 * 96 * 15)
    train = SplitTensors(dataset, "train", (64, 96))
    assert train.cached
    assert train.kept_bytes == 4 * 64 * 96 * 12
    assert not SplitTensors(dataset, "val", (64, 96), beside=train.kept_bytes).cached
    assert SplitTensors(dataset, "val", (64, 96)).cached


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that share memory are forked")
def test_what_another_process_has_read_is_there(shapes):
    split = SplitTensors(Dataset.load(shapes), "train", (64, 96))
    if not (child := os.fork()):
        image, labels = split[3]
        os._exit(not (image.any() and labels.any()))
    assert os.waitpid(child, 0)[1] == 0
    assert split._cache is not None
    kept, fresh = split._cache.get(3), SplitTensors(split.dataset, "train", (64, 96))[3]
    assert kept is not None
    assert all(torch.equal(one, other) for one, other in zip(kept, fresh, strict=True))
    assert split._cache.get(4) is None


def test_of_a_split_that_does_not_fit_a_few_pictures_are_looked_at(shapes, monkeypatch):
    monkeypatch.setattr(data, "CACHE_BYTES", 0)
    monkeypatch.setattr(data, "LOOKED_AT", 3)
    split, read, real = SplitTensors(Dataset.load(shapes), "train", (64, 96)), [], Dataset.read
    monkeypatch.setattr(Dataset, "read", lambda self, sample, **how: read.append(sample) or real(self, sample, **how))
    split.read_all()
    assert sorted(sample.image.name for sample in read) == ["00.png", "06.png", "11.png"]
