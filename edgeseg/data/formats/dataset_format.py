"""What a data-set format is: from a folder, as some tool or benchmark lays it out, to splits of samples and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from edgeseg.data.description import Description
from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.samples import Split
from edgeseg.data.tags import TaggedSplit
from edgeseg.plugins import Plugins
from edgeseg.spec.palette import Rgb


@dataclass(frozen=True)
class Contents:
    """What a format finds in a folder.

    Attributes:
        names: of the classes; the position is the index.
        colors: one per class.
        coding: how a label file is read, where there is one for each picture; of other formats the plain index, as
            predictions have it.
        splits: by name: ``train``, ``val`` and ``test``, whatever the folders are called, and others.
        tagged: the splits of pictures that have tags in place of labels, by name.
        unions: sets of classes that some labels do not tell apart, of which one holds.
    """

    names: tuple[str, ...]
    colors: tuple[Rgb, ...]
    coding: LabelCoding
    splits: Mapping[str, Split]
    tagged: Mapping[str, TaggedSplit] = field(default_factory=dict)
    unions: tuple[tuple[int, ...], ...] = ()


class DatasetFormat:
    """Reads data sets of one kind. One derives from it, and an instance plugs in: see :data:`DATASET_FORMATS`.

    Attributes:
        keys: what a dataset.yaml may say beside ``format`` and ``bit_depth``.
        required: those of them that it must say.
        files: names of files that tools of this format are given instead of the folder that holds them.
    """

    keys: ClassVar[frozenset[str]] = frozenset()
    required: ClassVar[frozenset[str]] = frozenset()
    files: ClassVar[frozenset[str]] = frozenset()

    def recognises(self, folder: Path) -> bool:
        """Whether a folder without a dataset.yaml looks like one of these; by names of files, never by much reading."""
        return False

    def read(self, description: Description) -> Contents:
        """What lies in a folder; label files are opened as far as the classes can be known by nothing else.

        Args:
            description: of the folder; its keys are among ``keys``, and those ``required`` are there.

        Raises:
            DatasetError: something is missing, or not as it must be.
        """
        raise NotImplementedError


DATASET_FORMATS: Plugins[DatasetFormat] = Plugins(
    "edgeseg.dataset_formats",
    {
        "folders": "edgeseg.data.formats.folders:FOLDERS",
        "cityscapes": "edgeseg.data.formats.cityscapes:CITYSCAPES",
        "voc": "edgeseg.data.formats.voc:VOC",
        "ade20k": "edgeseg.data.formats.ade20k:ADE20K",
        "coco": "edgeseg.data.formats.coco:COCO",
        "labelme": "edgeseg.data.formats.labelme:LABELME",
        "cvat": "edgeseg.data.formats.cvat:CVAT",
        "label-studio": "edgeseg.data.formats.label_studio:LABEL_STUDIO",
        "yolo": "edgeseg.data.formats.yolo:YOLO",
        "roboflow": "edgeseg.data.formats.roboflow:ROBOFLOW",
        "joined": "edgeseg.data.formats.joined:JOINED",
        "edges": "edgeseg.data.formats.edges:EDGES",
    },
)
"""What ``format`` in a dataset.yaml may be."""

_SPLITS = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}


def split_name(word: str) -> str:
    """The usual name of a split that a tool calls by another."""
    return _SPLITS.get(word.lower(), word)
