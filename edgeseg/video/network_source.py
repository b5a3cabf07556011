"""Cameras and videos on the network through PyAV: RTSP, and what FFmpeg reads over HTTP, such as Motion JPEG.

rtsp://user:password@camera/stream        over TCP
rtsp://camera/stream#transport=udp        what stands after # is for edgeseg, and no server sees it
http://camera/video.mjpg#timeout=10       seconds without an answer, or without data, until it counts as lost; else 5
https://host/drive.mp4                    what has an end over HTTP is read like a file, every frame
rtsp://recorder/yesterday#live=0          so is what live=0 is written after; live=1 makes a camera of it
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.one_pass import OnePassSource
from edgeseg.video.packet_reader import Arrived, PacketReader
from edgeseg.video.picture import to_rgb
from edgeseg.video.source import SourceLostError, StreamInfo
from edgeseg.video.uri import LIVE, parameters, redacted

_TIMEOUT_S = 5.0
_BLIND_S = 20.0  # some cameras send a key picture only every ten seconds
_REMEDY = "See whether the camera is on and the address is right"
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EIO}

_HTTP_FORMS = {"timeout": (r"[1-9]\d{0,2}(\.\d+)?|0\.\d*[1-9]", "timeout=10, in seconds"), "live": LIVE}
_RTSP_FORMS = {**_HTTP_FORMS, "transport": ("tcp|udp|udp_multicast|http", "transport=udp, or tcp, udp_multicast, http")}
_UNTIMED = {"mpjpeg", "mjpeg"}
"""Formats without times; FFmpeg makes them up, at 25 frames per second."""


class NetworkSource(OnePassSource):
    """The first video stream at an address.

    A live stream is decoded picture by picture, with nothing kept back: packets are read on a thread of their own, a
    frame is dated when its packet came, and those that cannot be decoded are left out. Frames are of the size the
    stream has at that time.

    Args:
        uri: with the options at the top of this module.

    Attributes:
        damaged: packets that could not be decoded so far.

    Raises:
        SourceLostError: nobody answers, or not in time.
        SourceError: not let in, no such stream, no video, or an unknown option.
    """

    def __init__(self, uri: str) -> None:
        self.damaged = 0
        self._shown = redacted(uri)
        address, _, fragment = uri.partition("#")
        is_rtsp = self._is_rtsp = address.startswith("rtsp")
        self._host = _host(address, fragment)
        options = parameters(uri, fragment, _RTSP_FORMS if is_rtsp else _HTTP_FORMS)
        self._timeout_s = float(options.get("timeout", _TIMEOUT_S))
        self._container = self._open(address, _rtsp_options(options.get("transport", "tcp")) if is_rtsp else {})
        self._reader: PacketReader | None = None
        try:
            self._codec, info = self._look(options.get("live"))
            super().__init__(info)
            stream = self._container.streams.video[0]
            if info.live:
                self._codec.thread_type = "SLICE"  # threads by frame hold back as many frames as there are threads
                self._reader = PacketReader(self._container, stream, self._timeout_s)
            else:
                self._codec.thread_type = "AUTO"
        except BaseException:
            self._container.close()
            raise

    def _open(self, address: str, options: dict[str, str]) -> InputContainer:
        # What a stream is made of is mostly told at once; FFmpeg else counts frames for a second to tell their rate.
        options = {"analyzeduration": "1000000", "fpsprobesize": "0", **options}
        start_s = time.monotonic()
        try:
            return av.open(address, options=options, timeout=(self._timeout_s, self._timeout_s))
        except (av.FFmpegError, OSError) as error:
            # FFmpeg's RTSP forgets that it was interrupted.
            is_late = time.monotonic() - start_s >= self._timeout_s
            failure = self._no_answer() if is_late else self._failure(error)
        raise failure  # out here, so that FFmpeg's own error, which spells the address out, does not hang on to it

    def _look(self, live: str | None) -> tuple[VideoCodecContext, StreamInfo]:
        if not self._container.streams.video:
            raise SourceError(f"{self._shown} holds no video stream", "Pass the address of a video stream")
        stream = self._container.streams.video[0]
        codec = cast("VideoCodecContext | None", stream.codec_context)
        if codec is None:
            raise SourceError(f"{self._shown} is coded in a way that PyAV does not know", "Set the camera to H.264")
        self._name = self._container.format.name
        ends = not self._is_rtsp and self._container.duration is not None
        is_image = self._name.endswith("_pipe")
        info = StreamInfo(
            uri=self._shown,
            live=live == "1" if live else not (ends or is_image),
            width=codec.width or None,
            height=codec.height or None,
            fps=float(stream.average_rate) if stream.average_rate else None,
        )
        return codec, info

    def _failure(self, error: Exception) -> SourceError:
        """What the user is told of FFmpeg's error."""
        number = getattr(error, "errno", None)
        reason = str(getattr(error, "strerror", None) or type(error).__name__)
        if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
            return SourceError(
                f"{self._shown} does not let you in ({reason})",
                "Write the user and password before the host, as in rtsp://user:password@host, "
                "with %40 for @ and the like",
            )
        if isinstance(error, av.HTTPNotFoundError):
            return SourceError(f"there is no stream {self._shown} ({reason})", "Correct the path after the host")
        if isinstance(error, av.ExitError | TimeoutError):
            return self._no_answer()
        if number == errno.EIO and not _has_address(self._host):
            return SourceLostError(
                f"{self._shown}: no host of this name is known", "Correct the name, or use its number"
            )
        broke_off = self._is_rtsp and isinstance(error, av.InvalidDataError)  # so FFmpeg calls it
        if isinstance(error, ConnectionError | av.HTTPServerError) or broke_off or number in _UNREACHABLE:
            return SourceLostError(f"{self._shown} cannot be reached ({reason})", _REMEDY)
        return SourceError(
            f"{self._shown} cannot be opened as a video stream ({reason})",
            "See whether ffplay or VLC shows it, and correct the address",
        )

    def _no_answer(self) -> SourceLostError:
        return SourceLostError(
            f"{self._shown} did not answer within {self._timeout_s:g} s",
            _REMEDY,
        )

    def _frames(self) -> Iterator[Frame]:
        count = 0
        seen_s = time.monotonic()
        for packet, arrived_s, follows in self._arrivals():
            if not follows:
                self._codec.flush_buffers()
            try:
                pictures = self._codec.decode(packet)
            except av.FFmpegError as error:
                if not self.info.live:
                    raise self._damage(count, error) from None
                self.damaged += 1
                pictures = []
            for picture in pictures:
                yield Frame(to_rgb(picture), count, arrived_s, pts_s=self._pts_s(picture))
                count += 1
                seen_s = arrived_s
            if self.info.live and arrived_s - seen_s > _BLIND_S:
                raise SourceLostError(
                    f"{self._shown} has sent nothing that can be decoded for {_BLIND_S:g} s",
                    "See whether ffplay or VLC shows it",
                )
        if self.info.live and not self._closed:
            raise SourceLostError(f"{self._shown} ended after {count} frames", "See whether the camera is on")

    def _arrivals(self) -> Iterator[Arrived]:
        """The packets: of a live stream as they come, else as they are wanted."""
        try:
            if self._reader is None:
                for packet in self._container.demux(self._container.streams.video[0]):
                    yield Arrived(packet, time.monotonic(), follows=True)
            else:
                while (arrived := self._reader.take()) is not None:
                    yield arrived
            return
        except (av.ExitError, TimeoutError):
            failure = SourceLostError(
                f"{self._shown} has sent nothing for {self._timeout_s:g} s", "See whether the camera is on"
            )
        except (av.FFmpegError, OSError) as error:
            failure = SourceLostError(f"{self._shown} broke off ({error.strerror})", "See whether the camera is on")
        raise failure

    def _damage(self, count: int, error: av.FFmpegError) -> SourceError:
        return SourceError(f"{self._shown} is damaged after {count} frames ({error.strerror})", "Upload it again")

    def _pts_s(self, picture: av.VideoFrame) -> float | None:
        return None if self._name in _UNTIMED else picture.time

    def close(self) -> None:
        """Release the connection and end the iteration at once, even of a stream that has fallen silent."""
        super().close()
        if self._reader is not None:
            self._reader.stop()

    def _release(self) -> None:
        if self._reader is None:
            self._container.close()


def _rtsp_options(transport: str) -> dict[str, str]:
    options = {"rtsp_transport": transport, "allowed_media_types": "video"}
    if transport.startswith("udp"):
        options["max_delay"] = "200000"  # µs to wait for a packet that was overtaken
    return options


def _host(address: str, fragment: str) -> str:
    """The host's name.

    Raises:
        SourceError: there is none, often since the password holds a character that ends it.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or "@" in fragment:
        raise SourceError(
            f"{redacted(f'{address}#{fragment}' if fragment else address)} does not name a host",
            "Write rtsp://user:password@host/stream; in the password write %40 for @, %2F for /, %23 for #, %3A for :",
        )
    return host


def _has_address(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False
