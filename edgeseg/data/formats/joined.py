"""Several data sets as one, with one list of classes: what MSeg does by hand (Lambert 2020, arXiv:2112.13762).

format: joined
names: [sky, building, window, door, road, pavement, tree, car]
parts:
  - data: ../camvid                     # a folder or a dataset.yaml, of any format
    map: {building: [building, window, door], sign: null, pole: null}
  - data: ../facades
    map: {vegetation: tree}
    splits: [train]                     # optional: only these of it

A class of a part is the class of that name here, or what ``map`` says: another; null, which is no label; or several,
one of which it is, because this part does not tell them apart. A model is not punished for any of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.description import Description
from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat
from edgeseg.data.formats.reading import Found, find
from edgeseg.data.samples import Labels, Sample, Split
from edgeseg.spec.palette import IGNORE, Rgb, distinct_colors
from edgeseg.types import LabelsU8


class _Joined(DatasetFormat):
    keys = frozenset({"names", "colors", "parts"})
    required = frozenset({"names", "parts"})

    def read(self, description: Description) -> Contents:
        names = description.names() or ()
        unions: list[tuple[int, ...]] = []
        parts: list[_Part] = []
        for number, value in enumerate(description.sequence(description.values["parts"], "parts")):
            parts.append(_part(description, value, f"parts[{number}]", names, unions))
        if not parts:
            raise description.error("parts is empty", "Name at least one data set")
        if len(names) + len(unions) > IGNORE:
            what = f"{len(names)} classes and {len(unions)} sets of them are too many"
            raise description.error(what, f"Use {IGNORE} at most")
        splits = {
            name: _split(description, name, [part for part in parts if name in part.splits], len(names))
            for name in dict.fromkeys(name for part in parts for name in part.splits)
        }
        colors = description.colors(len(names)) or _colors_of(names, parts)
        return Contents(names, colors, LabelCoding(len(names)), splits, unions=tuple(unions))


JOINED = _Joined()


@dataclass(frozen=True)
class _Part:
    """One of the data sets, and what each of its classes is here.

    Attributes:
        found: the data set.
        splits: those of it that are used.
        table: (256,) uint8, from its indices to those here.
    """

    found: Found
    splits: tuple[str, ...]
    table: NDArray[np.uint8]


@dataclass(frozen=True)
class _Mapped:
    """Labels of a part, as they are called here."""

    labels: Labels
    table: NDArray[np.uint8]
    num_classes: int

    @property
    def path(self) -> Path:
        return self.labels.path

    def read(self) -> LabelsU8:
        mapped = self.read_unions()
        return np.where(mapped < self.num_classes, mapped, np.uint8(IGNORE))

    def read_unions(self) -> LabelsU8:
        return self.table[self.labels.read()]


def _split(description: Description, name: str, parts: Sequence[_Part], num_classes: int) -> Split:
    own = [part.found.contents.splits[name] for part in parts]
    sources = [part.found.path for part in parts]
    sources += [path for split in own for path in (split.images, split.labels, *split.sources)]
    # Names and coding as well: a part without a dataset.yaml has them from other files of its format.
    meaning = repr(
        [
            (part.found.contents.names, part.found.contents.coding, part.table.tolist(), split.meaning)
            for part, split in zip(parts, own, strict=True)
        ]
    )
    samples = partial(_samples, parts, name, num_classes)
    return Split(description.folder, description.path, samples, sources=tuple(sources), meaning=meaning)


def _samples(parts: Sequence[_Part], split: str, num_classes: int) -> list[Sample]:
    return [
        Sample(sample.image, _Mapped(sample.labels, part.table, num_classes))
        for part in parts
        for sample in part.found.contents.splits[split].samples()
    ]


def _part(
    description: Description, value: Any, key: str, names: tuple[str, ...], unions: list[tuple[int, ...]]
) -> _Part:
    said = description.mapping(value, key, {"data"}, {"map", "splits"})
    found = find(description.place(said["data"], f"{key}.data"))
    own = found.contents.names
    mapping = description.mapping(said.get("map", {}), f"{key}.map")
    if unknown := [str(name) for name in mapping if str(name) not in own]:
        what = f"{key}.map names {unknown[0]!r:.80}, which is no class of {found.path}"
        raise description.error(what, f"Use {', '.join(own)}")
    mapping = {str(name): value for name, value in mapping.items()}
    table = np.full(256, IGNORE, np.uint8)
    for index, name in enumerate(own):
        if name not in mapping and name not in names:
            what = f"names has no {name!r}, which {found.path} labels"
            raise description.error(what, f"Say what it is in {key}.map: {name}: CLASS, [CLASS, CLASS] or null")
        table[index] = _index_of(description, mapping.get(name, name), f"{key}.map.{name}", names, unions)
    chosen = tuple(description.name(one, f"{key}.splits") for one in description.sequence(said.get("splits", []), key))
    for split in chosen:
        if split not in found.contents.splits:
            what = f"{key}.splits has {split!r}, which {found.path} has not"
            raise description.error(what, f"Use {', '.join(found.contents.splits)}")
    return _Part(found, chosen or tuple(found.contents.splits), table)


def _index_of(
    description: Description, value: Any, key: str, names: tuple[str, ...], unions: list[tuple[int, ...]]
) -> int:
    """What a class of a part is called in label arrays: the index of a class or, behind those, of a union."""
    if value is None:
        return IGNORE
    several = value if isinstance(value, list) else [value]
    if wrong := [one for one in several if not isinstance(one, str) or one not in names]:
        raise description.error(f"{key} is {wrong[0]!r:.80}, which is not in names", f"Use {', '.join(names)}, or null")
    indices = tuple(sorted({names.index(one) for one in several}))
    if len(indices) == 1:
        return indices[0]
    if not indices:
        raise description.error(f"{key} is an empty list", "Write null for no label")
    if indices not in unions:
        unions.append(indices)
    return len(names) + unions.index(indices)


def _colors_of(names: tuple[str, ...], parts: Sequence[_Part]) -> tuple[Rgb, ...]:
    """Of each class that of the first part that has it, where all are different; else colours of their own."""
    known: dict[str, Rgb] = {}
    for part in parts:
        for name, color in zip(part.found.contents.names, part.found.contents.colors, strict=True):
            known.setdefault(name, color)
    if all(name in known for name in names) and len({known[name] for name in names}) == len(names):
        return tuple(known[name] for name in names)
    return distinct_colors(len(names))
