"""Frames on standard input, from another program.

-                                                   whatever FFmpeg makes out by its first bytes: Motion JPEG (one JPEG
                                                    after another), MPEG-TS, Matroska, Y4M, …
stdin:?fps=25                                       the same; fps dates the frames of Motion JPEG, which has no times
stdin:?size=640x480&format=rgb24&fps=30             raw frames in one of FFmpeg's pixel formats; rgb24 if left out
stdin:?live=1                                       frames come at their own pace and the newest wins
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator

import av
from av.container import InputContainer

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.one_pass import OnePassSource
from edgeseg.video.picture import to_rgb
from edgeseg.video.source import StreamInfo
from edgeseg.video.uri import FPS, LIVE, SIZE, parameters

_FORMS = {"size": SIZE, "format": (r"\w+", "format=rgb24, as FFmpeg calls it"), "fps": FPS, "live": LIVE}
_LOOK_EVERY_S = 0.1
_UNTIMED = {"mjpeg", "jpeg_pipe", "png_pipe", "h264", "hevc"}
"""Formats without times; FFmpeg makes them up, at 25 frames per second."""


class StdinSource(OnePassSource):
    """Frames that come through a pipe. Unless ``live`` each of them is processed, and the writer waits meanwhile.

    Args:
        uri: ``-`` or ``stdin:``, with the parameters at the top of this module.
        file_number: where to read; standard input if left out.

    Raises:
        SourceError: a terminal, no video, or an unknown parameter.
    """

    def __init__(self, uri: str = "-", file_number: int | None = None) -> None:
        name, _, query = uri.partition("?")
        if name not in ("-", "stdin:"):
            raise SourceError(f"{uri} is not understood", "Write - or stdin:?size=640x480&format=rgb24&fps=30")
        wanted = parameters(uri, query, _FORMS)
        self._uri = uri
        self._pipe = _Pipe(sys.stdin.fileno() if file_number is None else file_number)
        self._fps = float(wanted["fps"]) if "fps" in wanted else None
        self._container = self._open(wanted)
        try:
            super().__init__(self._look(live=wanted.get("live") == "1"))
        except BaseException:
            self._container.close()
            raise

    def _open(self, wanted: dict[str, str]) -> InputContainer:
        if os.isatty(self._pipe.file_number):
            raise SourceError(
                f"{self._uri} reads standard input, which is a terminal", "Pipe frames into it: … | edgeseg run -"
            )
        layout: str | None = None
        options = {"fpsprobesize": "0", "analyzeduration": "1000000"} if wanted.get("live") == "1" else {}
        if "size" in wanted:
            layout = "rawvideo"
            options = {"video_size": wanted["size"], "pixel_format": wanted.get("format", "rgb24")}
            _check_format(self._uri, options["pixel_format"])
        elif "format" in wanted:
            raise SourceError(f"{self._uri} is of raw frames, but of what size", "Add size=640x480")
        try:
            return av.open(self._pipe, "r", format=layout, options=options)
        except (av.FFmpegError, OSError) as error:
            if not self._pipe.count:
                raise SourceError(
                    "nothing came on standard input", "See whether the program before the | ran"
                ) from None
            raise SourceError(
                f"what comes on standard input is no video that FFmpeg knows ({error.strerror})",
                "Write Motion JPEG, MPEG-TS or Matroska; for raw frames tell the size: stdin:?size=640x480",
            ) from None

    def _look(self, live: bool) -> StreamInfo:
        if not self._container.streams.video:
            raise SourceError("what comes on standard input holds no video stream", "Write video into the pipe")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "SLICE" if live else "AUTO"
        self._is_untimed = self._container.format.name in {*_UNTIMED, "rawvideo"}
        rate = None if self._is_untimed else self._stream.average_rate
        return StreamInfo(
            uri=self._uri,
            live=live,
            width=self._stream.codec_context.width or None,
            height=self._stream.codec_context.height or None,
            fps=self._fps or (float(rate) if rate else None),
        )

    def _frames(self) -> Iterator[Frame]:
        index = 0
        try:
            for packet in self._container.demux(self._stream):
                came_s = time.monotonic()
                for picture in self._stream.decode(packet):
                    yield Frame(to_rgb(picture), index, came_s, pts_s=self._pts_s(picture, index))
                    index += 1
        except (av.FFmpegError, OSError) as error:
            if not self._closed:
                raise SourceError(
                    f"standard input is damaged or cut short after {index} frames ({error.strerror})",
                    "See whether the program that writes it ended well, and for raw frames whether the size is right",
                ) from None

    def _pts_s(self, picture: av.VideoFrame, index: int) -> float | None:
        if not self._is_untimed:
            return picture.time
        return None if self._fps is None else index / self._fps

    def close(self) -> None:
        """Stop reading and end the iteration soon, whether or not more comes."""
        self._pipe.is_closed = True
        super().close()

    def _release(self) -> None:
        self._container.close()


def _check_format(uri: str, name: str) -> None:
    try:
        av.VideoFormat(name)
    except ValueError:
        raise SourceError(
            f"{uri}: there is no pixel format {name}",
            "Use one that FFmpeg knows, such as rgb24, bgr24, yuv420p, nv12 or yuyv422",
        ) from None


class _Pipe:
    """A file for FFmpeg that can be left while nothing comes."""

    def __init__(self, file_number: int) -> None:
        self.file_number = file_number
        self.is_closed = False
        self.count = 0

    def read(self, size: int) -> bytes:
        """The bytes that are there, at most ``size``; none once it has ended or was closed."""
        while not self.is_closed:
            # Windows waits for sockets alone: there a read lasts until something comes.
            if os.name != "posix" or select.select([self.file_number], [], [], _LOOK_EVERY_S)[0]:
                data = os.read(self.file_number, size)
                self.count += len(data)
                return data
        return b""
