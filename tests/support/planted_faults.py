"""A tiny data set with nothing wrong, in which the tests of ``edgeseg data check`` plant their faults."""

from __future__ import annotations

import cv2
import numpy as np
import yaml
from PIL import Image

from edgeseg.data.check.run import check
from edgeseg.data.dataset import Dataset

SIZE = (48, 64)
NAMES = ["ground", "car", "tree", "sky", "pole", "sign"]
COLORS = [[0, 0, 0], [200, 0, 0], [0, 120, 0], [0, 0, 250], [90, 90, 0], [250, 250, 250]]
STEMS = {"train": ["a", "b", "c", "d"], "val": ["e", "f"]}


def scene(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of large spots, unlike that of any other seed."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(spots, size[::-1], interpolation=cv2.INTER_CUBIC))


def stripes(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Labels of six classes, those that meet numbered apart."""
    rows = np.roll([0, 3, 1, 5, 2, 4], seed)
    return np.repeat(np.resize(np.repeat(rows, 8), size[0])[:, None], size[1], axis=1).astype(np.uint8)


class Data:
    """A data set in a folder; files are written over by the tests."""

    def __init__(self, folder):
        self.folder = folder
        self.values = {
            "names": NAMES,
            "colors": COLORS,
            "splits": {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in STEMS},
        }
        folder.mkdir()
        self.describe()
        for split, stems in STEMS.items():
            for kind in ("images", "labels"):
                (folder / split / kind).mkdir(parents=True)
            for stem in stems:
                self.image(stem, scene(ord(stem)))
                self.label(stem, stripes(ord(stem)))

    def describe(self, **changes):
        self.values = {key: value for key, value in {**self.values, **changes}.items() if value is not None}
        (self.folder / "dataset.yaml").write_text(yaml.safe_dump(self.values))

    def path(self, stem, kind="images", suffix=".png"):
        split = "val" if stem in STEMS["val"] else "train"
        return self.folder / split / kind / f"{stem}{suffix}"

    def image(self, stem, values, **options):
        Image.fromarray(values).save(self.path(stem), **options)

    def label(self, stem, values, **options):
        Image.fromarray(values).save(self.path(stem, "labels"), **options)

    def every(self):
        return [stem for stems in STEMS.values() for stem in stems]

    def as_colors(self):
        self.describe(label_format="rgb")
        for stem in self.every():
            self.label(stem, np.array(COLORS, np.uint8)[stripes(ord(stem))])

    def check(self, **options):
        return check(Dataset.load(self.folder), **options)


def the_only(report, kind, severity="error"):
    assert [(finding.kind, finding.severity) for finding in report.findings] == [(kind, severity)], report.findings
    assert report.harmful == (severity == "error")
    return report.findings[0]


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
