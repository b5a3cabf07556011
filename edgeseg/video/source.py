"""The Source protocol and ``open_source``: a URI or a path becomes frames.

| URI                                       | source                                   | live                      |
|-------------------------------------------|------------------------------------------|---------------------------|
| ``camera:0``, ``v4l2:///dev/video0``      | a V4L2/USB camera                        | yes                       |
| ``rtsp://``, ``rtsps://``                 | a network camera                         | yes                       |
| ``http://``, ``https://``                 | Motion JPEG, or what else FFmpeg reads   | yes, unless it has an end |
| ``csi://0``                               | a Jetson's camera, through GStreamer     | yes                       |
| ``gst:PIPELINE``                          | any pipeline of GStreamer's              | yes                       |
| ``-``, ``stdin:``                         | frames on standard input                 | no, but with live=1       |
| ``synthetic:``                            | a rendered street with exact labels      | no, but with live=1       |
| ``drive.mp4``                             | a video file                             | no                        |
| ``street.png``, ``DIR``, ``'DIR/*.png'``  | images                                   | no                        |

The parameters that follow ``?`` (for ``rtsp`` and ``http`` ``#``) stand at the top of each source's module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from edgeseg.errors import DatasetError, SourceError
from edgeseg.types import Frame
from edgeseg.video.status import SourceState
from edgeseg.video.uri import redacted

if TYPE_CHECKING:
    from edgeseg.video.labels import LabelFolder

UNDERSTOOD = (
    "a video file, an image, a folder of images, a quoted glob ('DIR/*.png'), camera:0, v4l2:///dev/video0, rtsp://, "
    "http://, csi://0, gst:PIPELINE, - (standard input) or synthetic:"
)
"""What ``open_source`` opens, for messages and help."""

OnLost = Literal["wait", "exit"]
"""What happens when a live source is lost."""

OnChange = Callable[[SourceState], None]
"""Told when a source is lost and when it is back."""


class SourceLostError(SourceError):
    """A live source that is away, or not there yet: it may come back, so that waiting can mend it."""


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


def open_source(
    uri: str | Path,
    *,
    labels: LabelFolder | None = None,
    on_lost: OnLost | None = None,
    on_change: OnChange | None = None,
) -> Source:
    """Open what the table at the top of this module lists.

    A camera or network stream that is lost is opened again until it is back.

    Args:
        uri: a URI or a path.
        labels: ground truth for the frames of a file or folder.
        on_lost: ``exit`` raises when a live source is lost; ``wait`` waits for it also where it is not there yet. None
            waits too, but not for the first time, so that a wrong address is told at once.
        on_change: told when a live source is lost and when it is back, by the thread that iterates.

    Raises:
        SourceLostError: a live source is not there.
        SourceError: not there, not understood, or not readable.
        MissingDependencyError: it needs GStreamer, and OpenCV has none.
        DatasetError: labels that do not fit the frames, or images that are none.
    """
    text = str(uri)
    scheme, colon, _ = text.partition(":")
    opens = _SCHEMES.get(scheme) if (colon and not os.path.exists(text)) or text == "-" else None
    if opens is None:
        return _open_path(text, labels)
    if labels is not None:
        raise DatasetError(
            f"label files cannot be matched with {redacted(text)}", "Use them with a video file or images"
        )
    if scheme not in _LIVE:
        return opens(text)
    from edgeseg.video.reconnecting import ReconnectingSource

    return ReconnectingSource(lambda: opens(text), uri=redacted(text), on_lost=on_lost, on_change=on_change)


def _open_camera(uri: str) -> Source:
    from edgeseg.video.camera_source import CameraSource

    return CameraSource.open(uri)


def _open_network(uri: str) -> Source:
    from edgeseg.video.network_source import NetworkSource

    return NetworkSource(uri)


def _open_gst(uri: str) -> Source:
    from edgeseg.video.gst_source import GstSource

    return GstSource.open(uri)


def _open_stdin(uri: str) -> Source:
    from edgeseg.video.stdin_source import StdinSource

    return StdinSource(uri)


def _open_synthetic(uri: str) -> Source:
    from edgeseg.video.synthetic_source import SyntheticSource

    return SyntheticSource.open(uri)


_LIVE: dict[str, Callable[[str], Source]] = {
    **dict.fromkeys(("camera", "v4l2"), _open_camera),
    **dict.fromkeys(("rtsp", "rtsps", "http", "https"), _open_network),
    **dict.fromkeys(("csi", "gst"), _open_gst),
}
"""Those that may be lost, and are opened again."""

_SCHEMES: dict[str, Callable[[str], Source]] = {
    **_LIVE,
    **dict.fromkeys(("-", "stdin"), _open_stdin),
    "synthetic": _open_synthetic,
}


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
        raise SourceError(f"there is no file {redacted(text)}", f"Correct the path, or pass {UNDERSTOOD}")
    from edgeseg.video.file_source import FileSource

    return FileSource(path, labels)
