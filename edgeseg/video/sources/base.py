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
from edgeseg.video.sources.uri import redacted
from edgeseg.video.status import SourceState

if TYPE_CHECKING:
    from edgeseg.video.sources.labels import LabelFolder

UNDERSTOOD = (
    "a video file, an image, a folder of images, a quoted glob ('DIR/*.png'), camera:0, v4l2:///dev/video0, rtsp://, "
    "http://, csi://0, gst:PIPELINE, - (standard input) or synthetic:"
)
"""What ``open_source`` opens, for messages and help."""

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for names in ("mp4 m4v mov 3gp", "mkv webm avi wmv asf flv ogv", "ts m2ts mts mpg mpeg", "mjpeg mjpg h264 hevc")
    for name in names.split()
)
"""What video files are called, to tell a name from an address; a file that is there may be called anything."""

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
    allow_gst: bool = True,
    bit_depth: int | None = None,
) -> Source:
    """Open what the table at the top of this module lists.

    A camera or network stream that is lost is opened again until it is back.

    Args:
        uri: a URI or a path.
        labels: ground truth for the frames of a file or folder.
        on_lost: ``exit`` raises when a live source is lost; ``wait`` waits for it also where it is not there yet. None
            waits too, but not for the first time, so that a wrong address is told at once.
        on_change: told when a live source is lost and when it is back, by the thread that iterates.
        allow_gst: whether ``gst:`` is taken; a pipeline may read and write any file and talk to any host.
        bit_depth: of images with more than 8 bits, as :class:`edgeseg.video.sources.image.ImageSource` takes it.

    Raises:
        SourceLostError: a live source is not there.
        SourceError: not there, not understood, or not readable.
        MissingDependencyError: it needs GStreamer, and OpenCV has none.
        DatasetError: labels that do not fit the frames, or images that are none.
    """
    text = os.fspath(uri)
    scheme = _scheme_of(text)
    if scheme is None:
        return _open_path(text, labels, bit_depth)
    if scheme == "gst" and not allow_gst:
        raise SourceError(
            "pipelines of GStreamer's are not allowed here", "Allow gst: sources where you trust whoever wrote them"
        )
    opens = _SCHEMES[scheme]
    text = scheme + text[len(scheme) :]
    if labels is not None:
        raise DatasetError(
            f"label files cannot be matched with {redacted(text)}", "Use them with a video file or images"
        )
    if scheme not in _LIVE:
        return opens(text)
    from edgeseg.video.sources.reconnecting import ReconnectingSource

    return ReconnectingSource(lambda: opens(text), uri=redacted(text), on_lost=on_lost, on_change=on_change)


def _scheme_of(text: str) -> str | None:
    """The scheme of what is a URI; None for what is a path: what exists, and what looks like the name of a file."""
    if text == "-":
        return text
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in _SCHEMES or os.path.lexists(text):
        return None
    if scheme in _NETWORK and not rest.startswith("/"):
        return None  # http:x.mp4
    if scheme in ("camera", "v4l2", "csi") and not rest.startswith("/") and _looks_like_a_file(rest):
        return None
    return scheme


def _looks_like_a_file(name: str) -> bool:
    from edgeseg.data.dataset import IMAGE_SUFFIXES

    return os.path.splitext(name)[1].lower() in {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}


def _open_camera(uri: str) -> Source:
    from edgeseg.video.sources.camera import CameraSource

    return CameraSource.open(uri)


def _open_network(uri: str) -> Source:
    from edgeseg.video.sources.network.source import NetworkSource

    return NetworkSource(uri)


def _open_gst(uri: str) -> Source:
    from edgeseg.video.sources.gst import GstSource

    return GstSource.open(uri)


def _open_stdin(uri: str) -> Source:
    from edgeseg.video.sources.stdin import StdinSource

    return StdinSource(uri)


def _open_synthetic(uri: str) -> Source:
    from edgeseg.video.sources.synthetic import SyntheticSource

    return SyntheticSource.open(uri)


_NETWORK = ("rtsp", "rtsps", "http", "https")

_LIVE: dict[str, Callable[[str], Source]] = {
    **dict.fromkeys(("camera", "v4l2"), _open_camera),
    **dict.fromkeys(_NETWORK, _open_network),
    **dict.fromkeys(("csi", "gst"), _open_gst),
}
"""Those that may be lost, and are opened again."""

_SCHEMES: dict[str, Callable[[str], Source]] = {
    **_LIVE,
    **dict.fromkeys(("-", "stdin"), _open_stdin),
    "synthetic": _open_synthetic,
}


def _open_path(text: str, labels: LabelFolder | None, bit_depth: int | None) -> Source:
    from edgeseg.data.dataset import IMAGE_SUFFIXES

    shown = redacted(text)
    exists = os.path.lexists(text)
    is_pattern = not exists and any(mark in text for mark in "*?[") and not _has_scheme(text)
    if is_pattern or os.path.isdir(text) or os.path.splitext(text)[1].lower() in IMAGE_SUFFIXES:
        from edgeseg.video.sources.image import ImageSource

        return ImageSource(text, labels, bit_depth=bit_depth)
    if not exists:
        if _has_scheme(text):
            raise SourceError(f"{shown.partition(':')[0]}:// is not understood as a source", f"Pass {UNDERSTOOD}")
        try:
            os.lstat(text)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise SourceError(f"there is no file {shown}", f"Correct the path, or pass {UNDERSTOOD}") from None
        except OSError as error:  # a folder that may not be entered, a name too long
            raise SourceError(f"{shown} cannot be opened ({error.strerror})", "Correct the path") from None
    from edgeseg.video.sources.file import FileSource

    return FileSource(text, labels)


def _has_scheme(text: str) -> bool:
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.isalnum()
