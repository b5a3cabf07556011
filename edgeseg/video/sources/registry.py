"""``open_source``: a URI or a path becomes frames.

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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.data.image_files import IMAGE_SUFFIXES
from edgeseg.errors import DatasetError, SourceError
from edgeseg.plugins import Plugins
from edgeseg.run_config import OnLost
from edgeseg.video.sources.base import OnChange, Source
from edgeseg.video.sources.uri import redacted

if TYPE_CHECKING:
    from edgeseg.video.sources.labels import LabelFolder

Opener = Callable[[str], Source]
"""Makes a source of its URI."""

SOURCES = Plugins[Opener](
    "edgeseg.sources",
    {
        "-": "edgeseg.video.sources.stdin:StdinSource",
        "stdin": "edgeseg.video.sources.stdin:StdinSource",
        "synthetic": "edgeseg.video.sources.synthetic:SyntheticSource.open",
    },
)
"""By the scheme of their URI."""

_NETWORK = ("rtsp", "rtsps", "http", "https")

LIVE_SOURCES = Plugins[Opener](
    "edgeseg.live_sources",
    {
        "camera": "edgeseg.video.sources.camera:CameraSource.open",
        "v4l2": "edgeseg.video.sources.camera:CameraSource.open",
        **dict.fromkeys(_NETWORK, "edgeseg.video.sources.network.source:NetworkSource"),
        "csi": "edgeseg.video.sources.gst:GstSource.open",
        "gst": "edgeseg.video.sources.gst:GstSource.open",
    },
)
"""Those that may be lost (SourceLostError), and are opened again."""

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


def open_source(
    uri: str | Path,
    *,
    labels: LabelFolder | None = None,
    on_lost: OnLost | None = None,
    on_change: OnChange | None = None,
    allow_gst: bool = True,
    bit_depth: int | None = None,
) -> Source:
    """Open what the table at the top of this module lists, or what another package brings.

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
    text = scheme + text[len(scheme) :]
    if labels is not None:
        raise DatasetError(
            f"label files cannot be matched with {redacted(text)}", "Use them with a video file or images"
        )
    if scheme in SOURCES:
        return SOURCES[scheme](text)
    from edgeseg.video.sources.reconnecting import ReconnectingSource

    opens = LIVE_SOURCES[scheme]
    return ReconnectingSource(lambda: opens(text), uri=redacted(text), on_lost=on_lost, on_change=on_change)


def _scheme_of(text: str) -> str | None:
    """The scheme of what is a URI; None for what is a path: what exists, and what looks like the name of a file."""
    if text == "-":
        return text
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in {*SOURCES, *LIVE_SOURCES} or os.path.lexists(text):
        return None
    if scheme in _NETWORK and not rest.startswith("/"):
        return None  # http:x.mp4
    if scheme in ("camera", "v4l2", "csi") and not rest.startswith("/") and _looks_like_a_file(rest):
        return None
    return scheme


def _looks_like_a_file(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}


def _open_path(text: str, labels: LabelFolder | None, bit_depth: int | None) -> Source:
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
