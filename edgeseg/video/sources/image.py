"""Still images: one file, several, a folder, or a glob pattern."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgeseg.data.image_files import check_images, list_images, match_images
from edgeseg.data.picture_header import page_count
from edgeseg.data.pictures import read_pages
from edgeseg.errors import DatasetError, SourceError, printable
from edgeseg.types import Frame
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.labels import LabelFolder
from edgeseg.video.sources.one_pass import OnePassSource

_LOOKED_AT = 1000
"""Files whose pages are counted before the first is read."""


class ImageSource(OnePassSource):
    """Images in natural order of name (``frame_2`` before ``frame_10``); they may differ in size.

    A file of several pictures, such as a TIFF of three pages or an animated WebP, gives a frame of each. Their names
    have the number of the page at their end: ``scan_page1``, ``scan_page2``.

    Args:
        uri: an image, a folder, a glob pattern; or several images, which come in the order given.
        labels: ground truth by file stem.
        bit_depth: of images with more than 8 bits: 8, 10, 12, 14 or 16; None to find it as
            :mod:`edgeseg.data.pictures` says.

    Raises:
        SourceError: no such file, or a pattern that matches none.
        DatasetError: no images, a file among them that is no image, or an image without its label.
        MissingDependencyError: HEIC images, and pillow-heif is not installed.
    """

    def __init__(
        self,
        uri: str | Path | Sequence[str | Path],
        labels: LabelFolder | None = None,
        *,
        bit_depth: int | None = None,
    ) -> None:
        if isinstance(uri, str | Path):
            self._files, name = _find(str(uri)), str(uri)
        else:
            self._files = _given([Path(file) for file in uri])
            others = len(self._files) - 1
            name = f"{self._files[0]} and {others} more" if others else str(self._files[0])
        self._labels = labels
        self._bit_depth = bit_depth
        if labels is not None:
            labels.match_stems(self._files)
        super().__init__(StreamInfo(uri=printable(name), live=False, frame_count=_count(self._files)))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it reads."""
        return tuple(self._files)

    def _frames(self) -> Iterator[Frame]:
        index = 0
        for file in self._files:
            pages = read_pages(file, bit_depth=self._bit_depth)
            rgb_u8, following = next(pages), next(pages, None)
            if following is None:
                labels_u8 = self._labels.of_image(file, rgb_u8.shape[:2]) if self._labels else None
                yield Frame(rgb_u8, index, time.monotonic(), name=file.stem, labels_u8=labels_u8)
                index += 1
                continue
            if self._labels is not None:
                raise DatasetError(
                    f"{file} holds several pictures, and its label file one", "Save each picture as a file of its own"
                )
            page = 1
            while following is not None:
                yield Frame(rgb_u8, index, time.monotonic(), name=f"{file.stem}_page{page}")
                rgb_u8, following = following, next(pages, None)
                index, page = index + 1, page + 1
            yield Frame(rgb_u8, index, time.monotonic(), name=f"{file.stem}_page{page}")
            index += 1

    def _release(self) -> None:
        """Nothing is held between frames."""


def _given(files: list[Path]) -> list[Path]:
    if not files:
        raise SourceError("no image is given", "Name one or more")
    for file in files:
        if not os.path.lexists(file):
            raise SourceError(f"there is no file {file}", "Correct the path")
    check_images(files, "", "Leave it out")
    return files


def _find(uri: str) -> list[Path]:
    if os.path.isdir(uri):
        return list_images(Path(uri), remedy="Move it out of the folder, or pass a glob: 'DIR/*.png'")
    if os.path.lexists(uri):
        return [Path(uri)]
    files = match_images(uri)
    if not files:
        raise SourceError(f"no file matches {uri}", "Correct the path or the pattern")
    return files


def _count(files: list[Path]) -> int | None:
    """Frames to expect; None where a file may hold more than one and only reading it tells how many."""
    places = sorted({round(place) for place in np.linspace(0, len(files) - 1, min(len(files), _LOOKED_AT)).tolist()})
    counts = [page_count(files[place]) for place in places]
    if None in counts:
        return None
    if len(counts) == len(files):
        return sum(count or 0 for count in counts)
    return len(files) if all(count == 1 for count in counts) else None
