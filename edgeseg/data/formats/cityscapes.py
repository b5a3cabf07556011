"""Cityscapes: a folder a city, ids in the label files, and the 19 classes that are measured.

leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png        or …_labelTrainIds.png; gtCoarse where no gtFine is

Of both kinds of file the labels are the same: the ids that are not measured become "no label". The folders of ``test``
hold no labels to learn from or to measure with.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeseg.data.description import Description
from edgeseg.data.formats.base import FileLabels, LabelCoding
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.listing import files_below
from edgeseg.data.samples import Sample, Split
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE, Rgb

_CLASSES: dict[str, tuple[int, Rgb]] = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
"""By name: the id in a labelIds file, and the colour. The position is the train id."""

_IDS = 34
_IMAGES = "leftImg8bit"
_LABELS = ("gtFine", "gtCoarse")
_KINDS = ("labelIds", "labelTrainIds")


class _Cityscapes(DatasetFormat):
    def recognises(self, folder: Path) -> bool:
        return (folder / _IMAGES).is_dir() and any((folder / labels).is_dir() for labels in _LABELS)

    def read(self, description: Description) -> Contents:
        folder = description.folder
        kind_of_labels = next((kind for kind in _LABELS if (folder / kind).is_dir()), _LABELS[0])
        splits: dict[str, Split] = {}
        for images in sorted((folder / _IMAGES).glob("*")):
            if images.is_dir():
                labels = folder / kind_of_labels / images.name
                splits[split_name(images.name)] = Split(images, labels, partial(_samples, images, labels))
        if not splits:
            remedy = f"Put the folders {_IMAGES} and {kind_of_labels} there, as they come"
            raise description.error(f"there is no split in {folder / _IMAGES}", remedy)
        colors = tuple(color for _, color in _CLASSES.values())
        return Contents((*_CLASSES,), colors, _coding("labelIds"), splits)


CITYSCAPES = _Cityscapes()


def _coding(kind: str) -> LabelCoding:
    if kind == "labelTrainIds":
        return LabelCoding(len(_CLASSES))
    values = [IGNORE] * _IDS
    for index, (number, _) in enumerate(_CLASSES.values()):
        values[number] = index
    return LabelCoding(len(_CLASSES), values=tuple(values))


def _samples(images: Path, labels: Path) -> list[Sample]:
    pictures = [path for path in files_below(images) if path.stem.endswith(f"_{_IMAGES}")]
    if not pictures:
        raise DatasetError(f"there is no picture NAME_{_IMAGES}.png below {images}", "Unpack them there")
    files = {path.name: path for path in files_below(labels, frozenset({".png"}))}
    # Those of the ids come with the data set; the others are made from them.
    kind = next((kind for kind in _KINDS if any(name.endswith(f"_{kind}.png") for name in files)), _KINDS[0])
    coding = _coding(kind)
    samples = []
    for picture in pictures:
        name = f"{picture.stem.removesuffix(_IMAGES)}{labels.parent.name}_{kind}.png"
        if name not in files:
            raise DatasetError(f"{picture} has no label {name} below {labels}", "Put it there, or remove the picture")
        samples.append(Sample(picture, FileLabels(files[name], coding)))
    return samples
