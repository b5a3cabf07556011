"""A dataset folder: dataset.yaml, images and label files. Nothing here knows torch; training wraps it.

names: [background, crack]              # the classes; position is the index
colors: [[0, 0, 0], [255, 0, 0]]        # optional
ignore_index: 11                        # optional: the label value that means "no label" (255 always does)
label_format: index                     # optional: index (default), or rgb when the files hold the colors
splits:
  train: {images: train/images, labels: train/labels}
  val:   {images: val/images, labels: val/labels, include: ["drive2_*"]}     # include: optional file-name patterns
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import yaml
from PIL import Image

from edgeseg.errors import DatasetError
from edgeseg.palette import IGNORE, MAX_CLASSES, Rgb, distinct_colors
from edgeseg.types import ImageU8, LabelsU8

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
LABEL_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".webp"})

LabelFormat = Literal["index", "rgb"]


@dataclass(frozen=True)
class LabelCoding:
    """How a label file's pixels become class indices 0..C-1 and 255.

    Attributes:
        num_classes: C, or None where it is not known and any index up to 254 is taken.
        ignore_index: the file's value for "no label", beside 255.
        colors: with ``format="rgb"``, the colour of each class; other colours are an error, black excepted when no
            class is black: it is "no label" then.
        format: ``index`` or ``rgb``.
    """

    num_classes: int | None
    ignore_index: int | None = None
    colors: tuple[Rgb, ...] = ()
    format: LabelFormat = "index"

    def read(self, path: Path) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, colours without a class, or an index outside the classes.
        """
        return self._from_rgb(path) if self.format == "rgb" else self._from_index(path)

    def _from_index(self, path: Path) -> LabelsU8:
        raw = _read_index(path)
        labels = raw.astype(np.uint8) if raw.dtype != np.uint8 else raw
        if raw.dtype != np.uint8 and not np.array_equal(labels, raw):
            raise DatasetError(f"{path} holds label values up to {raw.max()}", "Use 8-bit labels, 255 for no label")
        if self.ignore_index is not None and self.ignore_index != IGNORE:
            labels = np.where(labels == self.ignore_index, np.uint8(IGNORE), labels)
        if self.num_classes is not None:
            outside = labels[(labels >= self.num_classes) & (labels != IGNORE)]
            if outside.size:
                raise DatasetError(
                    f"{path} holds label index {int(outside.max())}, but the classes are 0..{self.num_classes - 1}",
                    "Add the class to names, or name the value in ignore_index if it means 'no label'",
                )
        return np.ascontiguousarray(labels)

    def _from_rgb(self, path: Path) -> LabelsU8:
        rgb = read_image(path)
        packed = (rgb.astype(np.int32) << np.array([16, 8, 0])).sum(axis=2)
        labels = np.full(packed.shape, IGNORE, dtype=np.uint8)
        known = np.zeros(packed.shape, dtype=bool)
        for index, (r, g, b) in enumerate(self.colors):
            mine = packed == (r << 16 | g << 8 | b)
            labels[mine] = index
            known |= mine
        unknown = packed[~known & (packed != 0)]
        if unknown.size:
            color = int(unknown[0])
            raise DatasetError(
                f"{path} holds colour {[color >> 16, color >> 8 & 255, color & 255]}, which no class has",
                "Add it to colors, or save the labels as PNG without anti-aliasing or lossy compression",
            )
        if self.ignore_index is not None and self.ignore_index < len(self.colors):
            labels[labels == self.ignore_index] = IGNORE
        return labels


@dataclass(frozen=True)
class Sample:
    """One image file and its label file."""

    image: Path
    label: Path


@dataclass(frozen=True)
class Split:
    """Where the files of a split lie."""

    images: Path
    labels: Path
    include: tuple[str, ...] = ("*",)

    def samples(self) -> list[Sample]:
        """Images paired with labels by file stem, sorted by name.

        Raises:
            DatasetError: folder missing or empty, an image without a label, or two files of one stem.
        """
        images = [p for p in list_images(self.images) if any(fnmatch(p.name, pattern) for pattern in self.include)]
        if not images:
            raise DatasetError(f"no images in {self.images} match {list(self.include)}", "Correct 'include'")
        labels = index_by_stem(list_images(self.labels, LABEL_SUFFIXES))
        index_by_stem(images)
        missing = [p.name for p in images if p.stem not in labels]
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(images)} images in {self.images} have no label in {self.labels}: "
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
                "Give each image a label file of the same stem",
            )
        return [Sample(image, labels[image.stem]) for image in images]


@dataclass(frozen=True)
class Dataset:
    """What a dataset.yaml says. ``Dataset.load`` reads one."""

    path: Path
    names: tuple[str, ...]
    colors: tuple[Rgb, ...]
    coding: LabelCoding
    splits: dict[str, Split]

    @classmethod
    def load(cls, path: str | Path) -> Dataset:
        """Read a dataset.yaml, or the one in a folder.

        Raises:
            DatasetError: missing, not YAML, a wrong or missing key, or a value of the wrong kind.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "dataset.yaml"
        if not path.is_file():
            raise DatasetError(f"no dataset at {path}", "Pass a dataset.yaml or the folder that holds one")
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DatasetError(f"{path} is not YAML ({' '.join(str(error).split())})", "Correct it") from None
        reader = _Reader(path)
        top = reader.mapping(raw, "", required={"names", "splits"}, optional={"colors", "ignore_index", "label_format"})
        names = tuple(str(name) for name in reader.sequence(top["names"], "names"))
        if not 1 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
            raise DatasetError(f"{path}: names has {len(names)} entries", f"Give 1 to {MAX_CLASSES} different names")
        colors = reader.colors(top["colors"], len(names)) if "colors" in top else distinct_colors(len(names))
        ignore = top.get("ignore_index")
        if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int) or not 0 <= ignore <= 255):
            raise DatasetError(f"{path}: ignore_index is {ignore!r}", "Use a whole number 0..255")
        label_format = top.get("label_format", "index")
        if label_format not in get_args(LabelFormat):
            raise DatasetError(f"{path}: label_format is {label_format!r}", "Use index or rgb")
        if label_format == "rgb" and "colors" not in top:
            raise DatasetError(f"{path}: label_format is rgb, but there are no colors", "List the colour of each class")
        splits = {
            str(name): reader.split(value, f"splits.{name}")
            for name, value in reader.mapping(top["splits"], "splits").items()
        }
        if not splits:
            raise DatasetError(f"{path}: splits is empty", "Name at least one split")
        return cls(path, names, colors, LabelCoding(len(names), ignore, colors, label_format), splits)

    @classmethod
    def find_above(cls, folder: Path) -> Dataset | None:
        """The dataset that has ``folder`` as the labels of one of its splits, looked for upwards; None without one."""
        folder = folder.resolve()
        for parent in folder.parents[:3]:
            if (parent / "dataset.yaml").is_file():
                dataset = cls.load(parent)
                if any(split.labels.resolve() == folder for split in dataset.splits.values()):
                    return dataset
        return None

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def split(self, name: str) -> Split:
        """The split of that name, or a DatasetError that lists those there are."""
        if name not in self.splits:
            raise DatasetError(f"{self.path} has no split {name!r}", f"Use one of {', '.join(sorted(self.splits))}")
        return self.splits[name]

    def read(self, sample: Sample) -> tuple[ImageU8, LabelsU8]:
        """Image (H, W, 3) uint8 RGB and labels (H, W) uint8, 255 = no label.

        Raises:
            DatasetError: unreadable, of different sizes, or with an index outside the classes.
        """
        image = read_image(sample.image)
        labels = self.coding.read(sample.label)
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{sample.image} is {_size(image)} but its label {sample.label} is {_size(labels)}",
                "Make both the same size",
            )
        return image, labels


def read_image(path: Path) -> ImageU8:
    """(H, W, 3) uint8 RGB; grey images are repeated over the channels.

    Raises:
        DatasetError: not there, or not an image.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})", "Correct the path") from None
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise DatasetError(f"{path} is not an image or is damaged", "Replace or remove it")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def list_images(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The image files of a folder sorted by name.

    Raises:
        DatasetError: not a folder, empty, or a file among them that is no image (hidden ones excepted).
    """
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}", "Correct the path")
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    foreign = [p.name for p in files if p.suffix.lower() not in suffixes]
    if foreign:
        raise DatasetError(
            f"{folder} holds {foreign[0]}, which is not an image",
            "Move it out of the folder, or pass a glob: 'DIR/*.png'",
        )
    if not files:
        raise DatasetError(f"the folder {folder} is empty", "Correct the path")
    return files


def index_by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """Paths by file stem; a DatasetError where two share one."""
    by_stem: dict[str, Path] = {}
    for path in paths:
        if path.stem in by_stem:
            raise DatasetError(f"{by_stem[path.stem]} and {path.name} share one stem", "Keep one of them")
        by_stem[path.stem] = path
    return by_stem


def _read_index(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The raw index values; a palette PNG gives its indices (OpenCV would expand them to colours, hence Pillow)."""
    try:
        with Image.open(path) as image:
            raw = np.asarray(image.convert("L") if image.mode in ("1", "LA") else image)
    except OSError:
        raise DatasetError(f"{path} is not an image or is damaged", "Replace or remove it") from None
    if raw.ndim == 3:
        if not (raw[..., :1] == raw[..., :3]).all():
            raise DatasetError(f"{path} is a colour image", "Set label_format: rgb and colors in dataset.yaml")
        raw = raw[..., 0]
    return raw


def _size(array: np.ndarray[Any, np.dtype[Any]]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


class _Reader:
    """Checks what YAML gave against what a dataset.yaml may hold, naming the key in each message."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mapping(
        self, value: Any, key: str, required: set[str] | None = None, optional: set[str] | None = None
    ) -> dict[str, Any]:
        where = key or "the file"
        if not isinstance(value, dict):
            raise DatasetError(f"{self.path}: {where} is not a mapping", "See the example in the README")
        if required is None:
            return value
        allowed = required | (optional or set())
        if unknown := [str(k) for k in value if k not in allowed]:
            raise DatasetError(
                f"{self.path}: unknown key {unknown[0]!r} in {where}", f"Allowed are {', '.join(sorted(allowed))}"
            )
        if missing := sorted(required - set(value)):
            raise DatasetError(f"{self.path}: {where} lacks {missing[0]!r}", "Add it")
        return value

    def sequence(self, value: Any, key: str) -> list[Any]:
        if not isinstance(value, list):
            raise DatasetError(f"{self.path}: {key} is not a list", "Write it as [a, b, c]")
        return value

    def colors(self, value: Any, count: int) -> tuple[Rgb, ...]:
        rows = self.sequence(value, "colors")
        if len(rows) != count:
            raise DatasetError(f"{self.path}: {count} names but {len(rows)} colors", "Give one colour per class")
        for row in rows:
            if (
                not isinstance(row, list)
                or len(row) != 3
                or not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in row)
            ):
                raise DatasetError(f"{self.path}: colour {row!r}", "Write it as [R, G, B] with values 0..255")
        return tuple((r, g, b) for r, g, b in rows)

    def split(self, value: Any, key: str) -> Split:
        raw = self.mapping(value, key, required={"images", "labels"}, optional={"include"})
        include = raw.get("include", ["*"])
        include = [include] if isinstance(include, str) else self.sequence(include, f"{key}.include")
        base = self.path.parent
        return Split(base / str(raw["images"]), base / str(raw["labels"]), tuple(str(p) for p in include))
