"""From a path to what lies there: the format is said, or a folder shows it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from edgeseg.data.description import Description
from edgeseg.data.formats.base import LABEL_FORMATS
from edgeseg.data.formats.dataset_format import DATASET_FORMATS, Contents
from edgeseg.data.pictures import BIT_DEPTHS
from edgeseg.errors import DatasetError

_log = logging.getLogger("edgeseg")


@dataclass(frozen=True)
class Found:
    """A data set as it lies.

    Attributes:
        path: the dataset.yaml, or the folder where there is none.
        format: one of :data:`DATASET_FORMATS`.
        contents: what that has found.
        bit_depth: of images with more than 8 bits, where it is said.
    """

    path: Path
    format: str
    contents: Contents
    bit_depth: int | None


def find(path: Path, format: str | None = None) -> Found:
    """What lies at a path; arguments and errors as :meth:`edgeseg.data.dataset.Dataset.load`."""
    description = _describe(path, format)
    name = format or description.values.get("format") or _recognised(description)
    if not isinstance(name, str) or name not in DATASET_FORMATS:
        remedy = f"Use one of {', '.join(DATASET_FORMATS)}"
        if isinstance(name, str) and name in LABEL_FORMATS:
            remedy = f"Write label_format: {name} for files of that kind in folders"
        raise description.error(f"format is {name!r:.80}", remedy)
    bit_depth = description.values.get("bit_depth")
    if bit_depth is not None and (isinstance(bit_depth, bool) or bit_depth not in BIT_DEPTHS):
        raise description.error(f"bit_depth is {bit_depth!r:.80}", f"Use one of {', '.join(map(str, BIT_DEPTHS))}")
    reader = DATASET_FORMATS[name]
    description.check_keys({*reader.keys, "format", "bit_depth"}, reader.required)
    with _not_within_itself(description):
        contents = reader.read(description)
    return Found(description.path, name, contents, bit_depth)


_being_read: ContextVar[tuple[Path, ...]] = ContextVar("being read", default=())


@contextmanager
def _not_within_itself(description: Description) -> Iterator[None]:
    """While a data set is read it may name others, but no one that is being read: that would have no end."""
    path = description.path.resolve()
    if path in _being_read.get():
        raise description.error("it is made of itself", "Name another data set")
    token = _being_read.set((*_being_read.get(), path))
    try:
        yield
    finally:
        _being_read.reset(token)


def _describe(path: Path, format: str | None) -> Description:
    if format and format in DATASET_FORMATS and path.name in DATASET_FORMATS[format].files and os.path.isfile(path):
        path = path.parent
    if not os.path.isdir(path):
        if not os.path.exists(path):
            raise DatasetError(f"no dataset at {path}", "Pass a dataset.yaml or the folder that holds one")
        return Description.read(path)
    if os.path.exists(path / "dataset.yaml"):
        return Description.read(path / "dataset.yaml")
    return Description.without_file(path)


def _recognised(description: Description) -> str:
    """The format of a folder without a dataset.yaml; with one, and no word of the format in it, folders."""
    if description.values or description.path != description.folder:
        return "folders"
    folder = description.folder
    found = [name for name in DATASET_FORMATS if DATASET_FORMATS[name].recognises(folder)]
    if len(found) != 1:
        formats = ", ".join(found or DATASET_FORMATS)
        what = f"{folder} looks like {' and '.join(found)}" if found else f"no dataset at {folder / 'dataset.yaml'}"
        raise DatasetError(what, f"Write a dataset.yaml there, if only with the line format: NAME, one of {formats}")
    _log.warning(f"{folder} has no dataset.yaml, and is read as {found[0]}")
    return found[0]
