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
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import av
from av.container import InputContainer

from edgeseg.errors import SourceError
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.byte_stream import MOST_BYTES, ByteStream, has_its_index_last
from edgeseg.video.sources.media import (
    STREAM_CODECS,
    limit_pixels,
    open_bytes,
    pixel_aspect_of,
    reason,
    video_stream,
)
from edgeseg.video.sources.packets import BLIND_S, Arrived, PacketSource
from edgeseg.video.sources.picture import frame_s
from edgeseg.video.sources.timeline import RecordedTimeline
from edgeseg.video.sources.uri import FPS, LIVE, SIZE, parameters, redacted

_FORMS = {"size": SIZE, "format": (r"\w+", "format=rgb24, as FFmpeg calls it"), "fps": FPS, "live": LIVE}
_LOOK_EVERY_S = 0.1
_UNTIMED = {"mjpeg", "jpeg_pipe", "png_pipe", "h264", "hevc"}
"""Formats without times; FFmpeg makes them up, at 25 frames per second."""


class StdinSource(PacketSource):
    """Frames that come through a pipe. Unless ``live`` each of them is processed, and the writer waits meanwhile.

    Args:
        uri: ``-`` or ``stdin:``, with the parameters at the top of this module.
        file_number: where to read; standard input if left out.

    Raises:
        SourceError: closed, a terminal, no video, or an unknown parameter.
    """

    def __init__(self, uri: str = "-", file_number: int | None = None) -> None:
        name, _, query = uri.partition("?")
        self._uri = redacted(uri)
        if name not in ("-", "stdin:"):
            raise SourceError(f"{self._uri} is not understood", "Write - or stdin:?size=640x480&format=rgb24&fps=30")
        wanted = parameters(uri, query, _FORMS)
        live = wanted.get("live") == "1"
        self._pipe = _Pipe(_standard_input() if file_number is None else file_number, live)
        self._fps = float(wanted["fps"]) if "fps" in wanted else None
        self._container = self._open(wanted, live)
        try:
            super().__init__(self._look(live))
        except BaseException:
            self._release()
            raise

    def _open(self, wanted: dict[str, str], live: bool) -> InputContainer:
        if os.isatty(self._pipe.file_number):
            raise SourceError(
                f"{self._uri} reads standard input, which is a terminal", "Pipe frames into it: … | edgeseg run -"
            )
        layout: str | None = None
        options = {"fpsprobesize": "0", "analyzeduration": "1000000"} if live else {}
        if "size" in wanted:
            layout = "rawvideo"
            options = {"video_size": wanted["size"], "pixel_format": wanted.get("format", "rgb24")}
            _check_format(self._uri, options["pixel_format"])
        elif "format" in wanted:
            raise SourceError(f"{self._uri} is of raw frames, but of what size", "Add size=640x480")
        try:
            if layout is None and not self._pipe.seekable() and has_its_index_last(self._pipe):
                raise SourceError(
                    "an MP4 whose index is at its end cannot be read from a pipe",
                    "Pass the file itself, or write it with ffmpeg -movflags +faststart",
                )
            return open_bytes(self._pipe, layout=layout, options=options, limited=live)
        except SourceError:
            raise
        except Exception as error:
            if self._pipe.failure:
                raise SourceError(
                    f"standard input cannot be read ({self._pipe.failure})", "Pipe frames into it: … | edgeseg run -"
                ) from None
            if not self._pipe.total:
                raise SourceError(
                    "nothing came on standard input", "See whether the program before the | ran"
                ) from None
            raise SourceError(
                f"what comes on standard input is no video that FFmpeg knows ({reason(error)})",
                "Write Motion JPEG, MPEG-TS or Matroska; for raw frames tell the size: stdin:?size=640x480",
            ) from None

    def _look(self, live: bool) -> StreamInfo:
        stream = video_stream(self._container, STREAM_CODECS)
        if stream is None:
            raise SourceError("what comes on standard input holds no video stream", "Write video into the pipe")
        self._stream, self._codec = stream, stream.codec_context
        self._stream.thread_type = "SLICE" if live else "AUTO"
        if live:
            limit_pixels(self._codec)
        self._takes_any_size = not live
        self._timeline = RecordedTimeline(joins_leaps=self._container.format.name == "mpegts")
        self._pixel_aspect = pixel_aspect_of(stream)
        self._is_untimed = self._container.format.name in {*_UNTIMED, "rawvideo"}
        rate = None if self._is_untimed else self._stream.average_rate
        return StreamInfo(
            uri=self._uri,
            live=live,
            width=self._codec.width or None,
            height=self._codec.height or None,
            fps=self._fps or (float(rate) if rate else None),
        )

    def _arrivals(self) -> Iterator[Arrived]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except Exception as error:
                if self._closed:
                    return
                raise self._damage(error) from None
            if packet is None:
                return
            self._pipe.renew()
            yield Arrived(packet, time.monotonic())

    def _pts_s(self, picture: av.VideoFrame) -> float | None:
        if not self._is_untimed:
            return self._timeline.place(picture.time, frame_s(picture, self.info.fps))
        return None if self._fps is None else self._count / self._fps

    def _broken(self, error: Exception, why: str) -> SourceError:
        return error if isinstance(error, SourceError) else self._damage(error)

    def _damage(self, error: Exception) -> SourceError:
        return SourceError(
            f"standard input is damaged or cut short after {self._count} frames ({reason(error)})",
            "See whether the program that writes it ended well, and for raw frames whether the size is right",
        )

    def _blind(self) -> SourceError:
        return SourceError(
            f"on standard input came nothing that can be used for {BLIND_S:g} s: {self.state.left_out_for}",
            "See what the program that writes it does",
        )

    def close(self) -> None:
        """Stop reading and end the iteration soon, whether or not more comes."""
        self._pipe.is_closed = True
        super().close()

    def _release(self) -> None:
        with suppress(Exception):
            self._container.close()


def _standard_input() -> int:
    """The number of standard input.

    Raises:
        SourceError: there is none, as in a program that was started with it closed.
    """
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # None, or something that is no file
        raise SourceError("standard input is closed", "Pipe frames into it: … | edgeseg run -") from None


def _check_format(uri: str, name: str) -> None:
    try:
        av.VideoFormat(name)
    except ValueError:
        raise SourceError(
            f"{uri}: there is no pixel format {name}",
            "Use one that FFmpeg knows, such as rgb24, bgr24, yuv420p, nv12 or yuyv422",
        ) from None


class _Pipe(ByteStream):
    """A file for FFmpeg that can be left while nothing comes.

    Attributes:
        total: bytes that came.
        failure: why the system could not read it; else empty.
    """

    def __init__(self, file_number: int, live: bool) -> None:
        super().__init__(MOST_BYTES if live else None)
        self.file_number = file_number
        self.is_closed = False
        self.total = 0
        self.failure = ""
        try:
            self._is_file = stat.S_ISREG(os.fstat(file_number).st_mode)
            self._start = os.lseek(file_number, 0, os.SEEK_CUR) if self._is_file else 0
        except OSError:
            self._is_file, self._start = False, 0

    def _receive(self, size: int) -> bytes:
        """The bytes that are there, at most ``size``; none once it has ended or was closed."""
        while not self.is_closed:
            try:
                # Windows waits for sockets alone: there a read lasts until something comes.
                if os.name != "posix" or select.select([self.file_number], [], [], _LOOK_EVERY_S)[0]:
                    data = os.read(self.file_number, size)
                    self.total += len(data)
                    return data
            except OSError as error:
                self.failure = error.strerror or type(error).__name__
                raise
        return b""

    def seekable(self) -> bool:
        """Whether it is a file, ``< drive.mp4``, in which other places can be read."""
        return self._is_file

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place of the file."""
        if whence == os.SEEK_CUR:
            offset, whence = self.tell() + offset, os.SEEK_SET
        self._seen = b""
        return os.lseek(self.file_number, offset + (self._start if whence == 0 else 0), whence) - self._start

    def tell(self) -> int:
        """The place of the next byte to be read."""
        return os.lseek(self.file_number, 0, os.SEEK_CUR) - self._start - len(self._seen)
