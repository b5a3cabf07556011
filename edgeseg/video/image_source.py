"""Still images: one file, a folder, or a glob pattern."""

from __future__ import annotations

import time
from collections.abc import Iterator
from glob import glob
from pathlib import Path

from edgeseg.dataset import IMAGE_SUFFIXES, list_images, read_image
from edgeseg.errors import DatasetError, SourceError
from edgeseg.types import Frame
from edgeseg.video.labels import LabelFolder
from edgeseg.video.one_pass import OnePassSource
from edgeseg.video.source import StreamInfo


class ImageSource(OnePassSource):
    """Images in order of name; they may differ in size.

    Args:
        uri: an image, a folder, or a glob pattern.
        labels: ground truth by file stem.

    Raises:
        SourceError: no such file, or a pattern that matches none.
        DatasetError: no images, a file among them that is no image, or an image without its label.
    """

    def __init__(self, uri: str | Path, labels: LabelFolder | None = None) -> None:
        self._files = _find(str(uri))
        self._labels = labels
        if labels is not None:
            labels.match_stems(self._files)
        super().__init__(StreamInfo(uri=str(uri), live=False, frame_count=len(self._files)))

    def _frames(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            rgb_u8 = read_image(file)
            labels_u8 = self._labels.of_image(file, rgb_u8.shape[:2]) if self._labels else None
            yield Frame(rgb_u8, index, time.monotonic(), name=file.stem, labels_u8=labels_u8)

    def _release(self) -> None:
        """Nothing is held between frames."""


def _find(uri: str) -> list[Path]:
    path = Path(uri)
    if path.is_dir():
        return list_images(path)
    if path.exists():
        return [path]
    files = sorted(file for file in map(Path, glob(uri, recursive=True)) if file.is_file())
    if not files:
        raise SourceError(f"no file matches {uri}", "Correct the path or the pattern")
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            raise DatasetError(f"{uri} matches {file}, which is not an image", "Narrow the pattern: 'DIR/*.png'")
    return files
