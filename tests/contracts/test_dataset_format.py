"""Every data-set format keeps the same promises: labels to the pixel, in splits, from a folder as its tool left it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import yaml
from dataset_exports import EXPORTS

from edgeseg.data.class_counts import class_pixels
from edgeseg.data.convert import convert
from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.dataset_format import DATASET_FORMATS
from edgeseg.errors import DatasetError


@pytest.fixture(params=EXPORTS)
def export(request, tmp_path):
    """A data set of each format."""
    return EXPORTS[request.param](tmp_path / "data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


LIST_WHAT_IS_THERE = {"edges", "folders", "cityscapes", "ade20k", "labelme", "yolo", "roboflow", "joined"}
"""Formats in which nothing names the pictures but their folder."""


def labels_of(dataset):
    return {
        name: {sample.image.stem: dataset.read(sample)[1] for sample in split.samples()}
        for name, split in dataset.splits.items()
    }


def assert_same(found, expected):
    assert {name: list(own) for name, own in found.items()} == {name: list(own) for name, own in expected.items()}
    for name, own in expected.items():
        for stem, labels in own.items():
            assert found[name][stem].tolist() == labels.tolist(), f"{name} {stem}"


def test_every_format_has_its_row():
    assert set(EXPORTS) == set(DATASET_FORMATS.own_names)


def test_labels_classes_and_splits_are_those_of_the_export(export):
    dataset = Dataset.load(export.folder, export.format)
    assert dataset.names == export.names
    assert len(dataset.colors) == len(export.names)
    assert dataset.format == export.format
    assert_same(labels_of(dataset), export.labels)


def test_a_folder_is_known_by_its_looks_or_by_one_line(export, caplog):
    if export.recognised:
        with caplog.at_level(logging.WARNING, logger="edgeseg"):
            assert Dataset.load(export.folder).format == export.format
        assert f"is read as {export.format}" in caplog.text
        (export.folder / "dataset.yaml").write_text(f"format: {export.format}\n")
    assert_same(labels_of(Dataset.load(export.folder)), export.labels)


def test_what_is_written_as_folders_is_the_same_data_set(export, tmp_path):
    dataset = Dataset.load(export.folder, export.format)
    written = Dataset.load(convert(dataset, tmp_path / "new" / "folders"))
    assert written.format == "folders"
    assert (written.names, written.colors) == (dataset.names, dataset.colors)
    assert_same(labels_of(written), export.labels)
    for name, split in written.splits.items():
        for sample, source in zip(split.samples(), dataset.split(name).samples(), strict=True):
            assert sample.image.read_bytes() == source.image.read_bytes()


def test_classes_are_counted_once_and_again_when_a_label_changes(export):
    dataset = Dataset.load(export.folder, export.format)
    expected = np.zeros(256, np.int64)
    for labels in export.labels["train"].values():
        expected += np.bincount(labels.ravel(), minlength=256)
    counted = []

    def progress(samples):
        counted.append(len(samples))
        return samples

    for _ in range(2):
        assert class_pixels(dataset, "train", progress).tolist() == expected[: len(export.names)].tolist()
    assert counted == [len(export.labels["train"])]
    changed = next(sample.label for sample in dataset.split("train").samples() if sample.label.exists())
    changed.write_bytes(changed.read_bytes() + b"\n")
    class_pixels(dataset, "train", progress)
    assert len(counted) == 2


def test_an_image_that_is_gone_is_named(export):
    dataset = Dataset.load(export.folder, export.format)
    image = dataset.split("train").samples()[0].image
    image.unlink()
    if export.format in LIST_WHAT_IS_THERE:
        again = Dataset.load(export.folder, export.format).split("train").samples()
        assert image not in [sample.image for sample in again]
        return
    with pytest.raises(DatasetError, match=image.stem) as caught:
        Dataset.load(export.folder, export.format).split("train").samples()
    assert caught.value.remedy


def test_a_key_of_another_format_is_refused(export):
    (export.folder / "dataset.yaml").write_text(yaml.safe_dump({"format": export.format, "wheels": 4}))
    with pytest.raises(DatasetError, match=r"dataset\.yaml: unknown key 'wheels'.*Allowed are.*format"):
        Dataset.load(export.folder)


def test_labels_can_be_counted_in_other_processes(export):
    """Where processes are not forked, samples are sent to them."""
    import pickle

    dataset = Dataset.load(export.folder, export.format)
    assert_same(labels_of(pickle.loads(pickle.dumps(dataset))), export.labels)
