"""The Source protocol and ``open_source``: a URI or a path becomes frames.

| URI                             | source                                       | live |
|---------------------------------|----------------------------------------------|------|
| ``camera:0``                    | a V4L2/USB camera                            | yes  |
| ``synthetic:``                  | a rendered street scene with exact labels    | no   |
| ``synthetic:?live=1``           | the same, paced like a camera                | yes  |
| ``drive.mp4``                   | a video file                                 | no   |
| ``street.png``, ``DIR``, ``'DIR/*.png'`` | images                              | no   |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgeseg.errors import DatasetError, SourceError
from edgeseg.types import Frame
from edgeseg.video.status import SourceState

if TYPE_CHECKING:
    from edgeseg.video.labels import LabelFolder

UNDERSTOOD = "a video file, an image, a folder of images, a quoted glob ('DIR/*.png'), camera:0 or synthetic:"
"""What ``open_source`` opens, for messages and help."""


@dataclass(frozen=True)
class StreamInfo:
    """What is known of a source before its first frame.

    Attributes:
        uri: as the user named it, credentials removed.
        live: True where frames that are not taken are lost (cameras, paced synthetic scenes); a live source's newest
            frame wins, every frame of one that is not is processed.
        width, height: pixels; None where they vary or are unknown.
        fps: nominal frames per second; None where there is none (folders of images).
        frame_count: frames to expect; None where unknown or endless.
        label_names: the classes that the labels of its frames index, where the source itself knows them.
    """

    uri: str
    live: bool
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frame_count: int | None = None
    label_names: tuple[str, ...] | None = None


class Source(Protocol):
    """Delivers frames in order, once. Iterating is done by one thread; close may come from another."""

    @property
    def info(self) -> StreamInfo:
        """What is known before the first frame."""
        ...

    @property
    def state(self) -> SourceState:
        """How it stands right now; asked from any thread."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the end, or until closed; a source is read once, as an open file is.

        Raises:
            SourceError: a frame cannot be read, or the stream ended before the frames it announced.
            DatasetError: an image or label file cannot be read.
        """
        ...

    def close(self) -> None:
        """Release the device or file and end the iteration soon. Calling it twice is harmless."""
        ...


def open_source(uri: str | Path, *, labels: LabelFolder | None = None) -> Source:
    """Open what the table at the top of this module lists.

    Args:
        uri: a URI or a path.
        labels: ground truth for the frames of a file or folder.

    Raises:
        SourceError: not there, not understood, or not readable.
        DatasetError: labels that do not fit the frames, or images that are none.
    """
    text = str(uri)
    scheme, colon, _ = text.partition(":")
    if colon and scheme in _SCHEMES and not Path(text).exists():
        if labels is not None:
            raise DatasetError(f"label files cannot be matched with {text}", "Use them with a video file or images")
        return _SCHEMES[scheme](text)
    return _open_path(text, labels)


def _open_camera(uri: str) -> Source:
    from edgeseg.video.camera_source import CameraSource

    return CameraSource.open(uri)


def _open_synthetic(uri: str) -> Source:
    from edgeseg.video.synthetic_source import SyntheticSource

    return SyntheticSource.open(uri)


_SCHEMES: dict[str, Callable[[str], Source]] = {"camera": _open_camera, "synthetic": _open_synthetic}


def _open_path(text: str, labels: LabelFolder | None) -> Source:
    from edgeseg.dataset import IMAGE_SUFFIXES

    path = Path(text)
    is_pattern = not path.exists() and any(mark in text for mark in "*?[")
    if is_pattern or path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        from edgeseg.video.image_source import ImageSource

        return ImageSource(text, labels)
    if "://" in text:
        raise SourceError(f"{text.partition('://')[0]}:// is not understood as a source", f"Pass {UNDERSTOOD}")
    if not path.exists():
        raise SourceError(f"there is no file {text}", f"Correct the path, or pass {UNDERSTOOD}")
    from edgeseg.video.file_source import FileSource

    return FileSource(path, labels)
