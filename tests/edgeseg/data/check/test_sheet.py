"""The contact sheet shows pictures of all splits, and is written over nothing."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_exports import folders, joined
from PIL import Image

from edgeseg.data.check.run import check
from edgeseg.data.check.sheet import check_place, write_sheet
from edgeseg.data.dataset import Dataset
from edgeseg.errors import SinkError


@pytest.fixture
def report(tmp_path):
    return check(Dataset.load(folders(tmp_path / "data").folder))


def test_each_picture_has_its_classes_over_it(report, tmp_path):
    path = write_sheet(tmp_path / "sheet.png", report.dataset, report.samples)
    sheet = np.asarray(Image.open(path))
    sample = report.samples["train"][0]
    image, labels = report.dataset.read(sample)
    assert sheet.shape[2] == 3
    # A tile is 240x180 behind a gap of 8 pixels, and the picture 16x12.
    y, x = 6, 9
    wanted = (image[y, x].astype(int) + np.array(report.dataset.colors[labels[y, x]])) / 2
    np.testing.assert_allclose(sheet[8 + 15 * y + 7, 8 + 15 * x + 7], wanted, atol=40)
    legend = sheet[-2 * 8 - 18 :].reshape(-1, 3)
    for color in report.dataset.colors:
        assert (legend == color).all(axis=1).any()


def test_what_cannot_be_read_is_left_out(report, tmp_path):
    for samples in report.samples.values():
        for sample in samples:
            sample.image.write_bytes(b"gone")
    sheet = np.asarray(Image.open(write_sheet(tmp_path / "sheet.png", report.dataset, report.samples)))
    assert sheet.shape[0] < 100


def test_it_takes_no_place_of_the_data(report):
    for path in (report.dataset.path, report.samples["train"][0].image, report.samples["val"][0].label):
        before = path.read_bytes()
        with pytest.raises(SinkError):
            write_sheet(path, report.dataset, report.samples)
        assert path.read_bytes() == before


def test_nor_of_tags_or_of_a_part(data, tmp_path):
    tags = tmp_path / "tags.csv"
    tags.write_text("file,tags\na.png,car\n")
    data.describe(splits={**data.values["splits"], "seen": {"images": str(data.folder), "tags": str(tags)}})
    part = joined(tmp_path / "joined").folder / "second"
    for dataset, path in (
        (Dataset.load(data.folder), tags),
        (Dataset.load(part.parent), part / "dataset.yaml"),
        (Dataset.load(part.parent), part / "labels"),
    ):
        with pytest.raises(SinkError, match="would be lost"):
            check_place(path, dataset)
