"""A contact sheet: pictures of every split with the colours of their labels over them, and the legend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeseg.data.dataset import Dataset
from edgeseg.data.samples import Sample
from edgeseg.data.sampling import spread
from edgeseg.errors import EdgesegError
from edgeseg.files.whole import check_writable, keep_apart, written_whole
from edgeseg.spec.palette import IGNORE, colorize
from edgeseg.types import ImageU8, LabelsU8

_TILE = (180, 240)
"""(height, width) in pixels of a picture on the sheet."""

_COLUMNS = 5

_GAP = 8

_LINE_PX = 18

_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4

_DARK, _LIGHT = (24, 24, 24), (230, 230, 230)

_OPACITY = 0.5


def write_sheet(path: str | Path, dataset: Dataset, samples: Mapping[str, Sequence[Sample]], most: int = 40) -> Path:
    """Write a contact sheet as PNG, whole or not at all.

    Args:
        path: the file.
        dataset: whose classes are drawn.
        samples: of each split; those whose files cannot be used are left out.
        most: pictures on it, taken from all splits alike, at even distances.

    Returns:
        the file.

    Raises:
        SinkError: it cannot be written, or lies in the place of the data.
    """
    from PIL import Image

    path = Path(path)
    check_place(path, dataset)
    keep_apart([path], [file for own in samples.values() for sample in own for file in (sample.image, sample.label)])
    with written_whole(path) as part:
        Image.fromarray(_drawn(dataset, samples, most)).save(part, "PNG")
    return path


def check_place(path: str | Path, dataset: Dataset) -> None:
    """See, before long work, whether a sheet can be written there.

    Raises:
        SinkError: it cannot, or it is what describes the data.
    """
    keep_apart([path], dataset.places)
    check_writable(path)


def _drawn(dataset: Dataset, samples: Mapping[str, Sequence[Sample]], most: int) -> ImageU8:
    each = max(1, most // max(1, len(samples)))
    tiles = [tile for name, own in samples.items() for tile in _tiles(dataset, name, spread(own, each))]
    width = _COLUMNS * (_TILE[1] + _GAP) + _GAP
    rows = [
        np.concatenate(
            [*tiles[at : at + _COLUMNS], *[_blank(tiles[0])] * (_COLUMNS - len(tiles[at : at + _COLUMNS]))], 1
        )
        for at in range(0, len(tiles), _COLUMNS)
    ]
    legend = _legend(dataset, width)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=_DARK[0]) for row in rows]
    return np.ascontiguousarray(np.concatenate([*rows, legend]))


def _tiles(dataset: Dataset, split: str, samples: Sequence[Sample]) -> Iterator[ImageU8]:
    for sample in samples:
        try:
            image, labels = dataset.read(sample)
        except EdgesegError:
            continue
        yield _tile(dataset, image, labels, f"{split}: {sample.image.name}")


def _tile(dataset: Dataset, image: ImageU8, labels: LabelsU8, title: str) -> ImageU8:
    """One picture with its class colours, in the middle of a tile and with its name below."""
    factor = min(_TILE[0] / image.shape[0], _TILE[1] / image.shape[1])
    height, width = (max(1, round(factor * side)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    classes = np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    mixed = cv2.addWeighted(small, 1 - _OPACITY, colorize(classes, dataset.colors), _OPACITY, 0)
    painted = np.where((classes == IGNORE)[..., None], small, mixed)
    tile = np.full((_TILE[0] + _LINE_PX + _GAP, _TILE[1] + _GAP, 3), _DARK[0], dtype=np.uint8)
    top, left = _GAP + (_TILE[0] - height) // 2, _GAP + (_TILE[1] - width) // 2
    tile[top : top + height, left : left + width] = painted
    _write(tile, title, _GAP, _GAP + _TILE[0] + _LINE_PX - 5)
    return tile


def _legend(dataset: Dataset, width: int) -> ImageU8:
    """A square of each class's colour with its name, in columns."""
    columns = max(1, width // 180)
    rows = -(-len(dataset.names) // columns)
    legend = np.full((rows * _LINE_PX + 2 * _GAP, width, 3), _DARK[0], dtype=np.uint8)
    for index, (name, color) in enumerate(zip(dataset.names, dataset.colors, strict=True)):
        x, y = _GAP + index % columns * 180, _GAP + index // columns * _LINE_PX
        cv2.rectangle(legend, (x, y + 2), (x + 12, y + 14), color, cv2.FILLED)
        cv2.rectangle(legend, (x, y + 2), (x + 12, y + 14), _LIGHT, 1)
        _write(legend, name, x + 18, y + 13, 22)
    return legend


def _write(picture: ImageU8, text: str, x: int, baseline: int, most: int = 34) -> None:
    """OpenCV's letters are those of ASCII."""
    text = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    text = text if len(text) <= most else f"{text[: most // 2 - 1]}..{text[-most // 2 + 1 :]}"
    cv2.putText(picture, text, (x, baseline), _FONT, _SCALE, _LIGHT, 1, cv2.LINE_AA)


def _blank(tile: ImageU8) -> ImageU8:
    return np.full_like(tile, _DARK[0])
