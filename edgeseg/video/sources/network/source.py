"""Cameras and videos on the network: RTSP, and Motion JPEG and video files over HTTP, decoded by PyAV.

rtsp://user:password@camera/stream        over TCP
rtsp://camera/stream#transport=udp        what stands after # is for edgeseg, and no server sees it
http://camera/video.mjpg#timeout=10       seconds without an answer, or without data, until it counts as lost; else 5
https://camera/video.mjpg#ca_file=cam.pem trust this certificate, rather than those that the system trusts
rtsps://camera/stream#tls_verify=0        trust any certificate: also that of whoever sits between
https://host/drive.mp4                    what has an end over HTTP is read like a file, every frame
rtsp://recorder/yesterday#live=0          so is what live=0 is written after; live=1 makes a camera of it

The host of the address is the only one that is connected to: redirects elsewhere are not followed, playlists not read.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import cast
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from edgeseg.errors import SourceError
from edgeseg.video.sources.base import SourceLostError, StreamInfo
from edgeseg.video.sources.byte_stream import has_its_index_last
from edgeseg.video.sources.media import (
    STREAM_CODECS,
    limit_pixels,
    open_bytes,
    open_rtsp,
    pixel_aspect_of,
    reason,
    video_stream,
)
from edgeseg.video.sources.network.http_stream import HttpError, HttpStream, RedirectError
from edgeseg.video.sources.network.multipart import parts
from edgeseg.video.sources.network.packet_reader import PacketReader
from edgeseg.video.sources.network.rtsp_relay import RtspRelay
from edgeseg.video.sources.network.tls import tls_context
from edgeseg.video.sources.packets import BLIND_S, Arrived, PacketSource
from edgeseg.video.sources.picture import frame_s
from edgeseg.video.sources.timeline import RecordedTimeline
from edgeseg.video.sources.uri import LIVE, parameters, redacted

_TIMEOUT_S = 5.0
_REMEDY = "See whether the camera is on and the address is right"
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EIO}
_LONGEST_ADDRESS = 200  # letters shown of what a server sends
_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID: a clock that was not set after the start

_HTTP_FORMS = {
    "timeout": (r"[1-9]\d{0,2}(\.\d+)?|0\.\d*[1-9]", "timeout=10, in seconds"),
    "live": LIVE,
    "tls_verify": ("[01]", "tls_verify=0 to take any certificate, which protects from nobody"),
    "ca_file": (".+", "ca_file=/etc/camera.pem"),
}
_RTSP_FORMS = {**_HTTP_FORMS, "transport": ("tcp|udp|udp_multicast|http", "transport=udp, or tcp, udp_multicast, http")}
_UNTIMED = {"mpjpeg", "mjpeg"}
"""Formats without times; FFmpeg makes them up, at 25 frames per second."""
_PLAYLISTS = (b"#EXTM3U", b"<?xml", b"<MPD", b"ffconcat", b"v=0")


class NetworkSource(PacketSource):
    """The first video stream at an address.

    A live stream is decoded picture by picture, with nothing kept back: packets are read on a thread of their own, a
    frame is dated when its packet came, and those that cannot be decoded are left out. Frames are of the size the
    stream has at that time.

    Args:
        uri: with the options at the top of this module.

    Raises:
        SourceLostError: nobody answers, or not in time.
        SourceError: not let in, no such stream, no video, or an unknown option.
    """

    def __init__(self, uri: str) -> None:
        self._shown = redacted(uri)
        address, _, fragment = uri.partition("#")
        self._is_rtsp = address.startswith("rtsp")
        self._host = _host(address, fragment)
        options = parameters(uri, fragment, _RTSP_FORMS if self._is_rtsp else _HTTP_FORMS)
        self._timeout_s = float(options.get("timeout", _TIMEOUT_S))
        self._context = partial(tls_context, verify=options.get("tls_verify") != "0", ca_file=options.get("ca_file"))
        self._http: HttpStream | None = None
        self._relay: RtspRelay | None = None
        self._container: InputContainer | None = None
        self._reader: PacketReader | None = None
        try:
            # Raised here, outside of what catches FFmpeg's own errors, which spell the address out.
            failure = self._connect(address, options)
            if failure is not None:
                raise failure
            super().__init__(self._info_for(options.get("live")))
            self._recorded = RecordedTimeline(joins_leaps=self._name == "mpegts")
            limit_pixels(self._codec)
            if self.info.live:
                self._codec.thread_type = "SLICE"  # threads by frame hold back as many frames as there are threads
                self._reader = PacketReader(self._packets, self._let_go, self._timeout_s)
            else:
                self._codec.thread_type = "AUTO"
        except BaseException:
            self._let_go()
            raise

    def _connect(self, address: str, options: dict[str, str]) -> SourceError | None:
        """Connect, and see what it is; what keeps it from that."""
        start_s = time.monotonic()
        try:
            if address.startswith(("https", "rtsps")):
                self._context()  # what is wrong with ca_file is told before anybody is called
            if self._is_rtsp:
                self._open_rtsp(address, options.get("transport", "tcp"))
            else:
                self._open_http(address)
            return None
        except SourceError as error:
            return error
        except Exception as error:
            # FFmpeg's RTSP forgets that it was interrupted.
            is_late = self._is_rtsp and time.monotonic() - start_s >= self._timeout_s
            return self._no_answer() if is_late and not self._was_redirected() else self._failure(error)

    def _open_rtsp(self, address: str, transport: str) -> None:
        is_tunnel = transport == "http"
        self._relay = RtspRelay(address, self._timeout_s, self._context, tunnel=is_tunnel)
        container = open_rtsp(self._relay.address, "tcp" if is_tunnel else transport, self._timeout_s)
        self._take(container)

    def _open_http(self, address: str) -> None:
        stream = self._http = HttpStream(address, self._timeout_s, self._context)
        stream.allow(self._timeout_s)
        kind = stream.content_type.lower()
        if kind.startswith("multipart/"):
            self._name = "mpjpeg"
            self._jpegs = parts(stream, stream.content_type)
            self._first = next(self._jpegs, b"")
            self._codec = av.CodecContext.create("mjpeg", "r")
            return
        if "mpegurl" in kind or "dash+xml" in kind or stream.peek(16).lstrip().startswith(_PLAYLISTS):
            raise SourceError(
                f"{self._shown} is a playlist or a page, which names other addresses",
                "Pass the address of the video itself: the camera's RTSP or Motion JPEG",
            )
        if not stream.seekable() and has_its_index_last(stream):
            raise SourceError(
                f"{self._shown} is an MP4 whose index is at its end, and this server gives files only from their start",
                "Download it first, or write it with ffmpeg -movflags +faststart",
            )
        # What a stream is made of is mostly told at once; FFmpeg else counts frames for a second to tell their rate.
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}
        if stream.peek(189)[::188] == b"GG":  # MPEG-TS, to whose decoders FFmpeg passes no limits while it looks
            options["codec_whitelist"] = "none"
        self._take(open_bytes(stream, options=options))

    def _take(self, container: InputContainer) -> None:
        self._container = container
        stream = video_stream(container, STREAM_CODECS)
        if stream is None:
            coded = " that PyAV knows" if container.streams.video else ""
            raise SourceError(f"{self._shown} holds no video stream{coded}", "Pass the address of a video stream")
        self._stream: VideoStream = stream
        self._codec = stream.codec_context
        self._pixel_aspect = pixel_aspect_of(stream)
        self._name = container.format.name

    def _info_for(self, live: str | None) -> StreamInfo:
        if self._container is None:
            width, height = self._size_of_first()
            return StreamInfo(self._shown, live != "0", width, height)
        has_end = self._container.duration is not None or (self._http is not None and self._http.size is not None)
        is_image = self._name.endswith("_pipe")
        return StreamInfo(
            uri=self._shown,
            live=live == "1" if live else self._is_rtsp or not (has_end or is_image),
            width=self._codec.width or None,
            height=self._codec.height or None,
            fps=float(self._stream.average_rate) if self._stream.average_rate else None,
        )

    def _size_of_first(self) -> tuple[int | None, int | None]:
        trial = av.CodecContext.create("mjpeg", "r")
        limit_pixels(trial)
        with suppress(Exception):
            for picture in trial.decode(av.Packet(self._first)):
                return picture.width, picture.height
        return None, None

    def _was_redirected(self) -> bool:
        return self._relay is not None and bool(self._relay.redirect)

    def _failure(self, error: Exception) -> SourceError:
        """What the user is told of an error of ours, of FFmpeg's or of the system's."""
        number = getattr(error, "errno", None)
        why = (self._relay.refusal if self._relay is not None else "") or reason(error)
        status = error.status if isinstance(error, HttpError) else 0
        if isinstance(error, RedirectError) or self._was_redirected():
            where = str(error) if self._relay is None else self._relay.redirect
            return SourceError(
                f"{self._shown} redirects to {redacted(where[:_LONGEST_ADDRESS]) or 'nowhere'}, which is not followed",
                "Pass that address itself where you trust it",
            )
        if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError) or status in (401, 403):
            return SourceError(
                f"{self._shown} does not let you in ({why})",
                "Write the user and password before the host, as in rtsp://user:password@host, "
                "with %40 for @ and the like",
            )
        if isinstance(error, av.HTTPNotFoundError) or status in (404, 410):
            return SourceError(f"there is no stream {self._shown} ({why})", "Correct the path after the host")
        if isinstance(error, ssl.SSLCertVerificationError):
            kind = SourceLostError if error.verify_code == _NOT_YET_VALID else SourceError
            return kind(
                f"{self._shown} is not who it says: its certificate is refused ({error.verify_message})",
                "Name the file of its certificate, or of who signed it: #ca_file=cert.pem; in a network where nobody "
                "else can be, #tls_verify=0",
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return SourceError(
                f"{self._shown} cannot be reached encrypted ({why})", "Write rtsp:// or http:// where it knows no TLS"
            )
        if isinstance(error, av.ExitError | TimeoutError):
            return self._no_answer()
        if isinstance(error, socket.gaierror | UnicodeError):
            return SourceLostError(
                f"{self._shown}: no host of this name is known", "Correct the name, or use its number"
            )
        broke_off = self._is_rtsp and isinstance(error, av.InvalidDataError | EOFError)  # so FFmpeg calls it
        if isinstance(error, OSError) or status >= 500 or broke_off or number in _UNREACHABLE:
            return SourceLostError(f"{self._shown} cannot be reached ({why})", _REMEDY)
        return SourceError(
            f"{self._shown} cannot be opened as a video stream ({why})",
            "See whether ffplay or VLC shows it, and correct the address",
        )

    def _no_answer(self) -> SourceLostError:
        return SourceLostError(
            f"{self._shown} did not answer within {self._timeout_s:g} s",
            _REMEDY,
        )

    def _arrivals(self) -> Iterator[Arrived]:
        """The packets: of a live stream as they come, else as they are wanted."""
        failure = None
        try:
            if self._reader is None:
                for packet in self._packets():
                    yield Arrived(packet, time.monotonic())
            else:
                while (arrived := self._reader.take()) is not None:
                    yield arrived
                if not self._closed:
                    failure = SourceLostError(
                        f"{self._shown} ended after {self._count} frames", "See whether the camera is on"
                    )
        except (av.ExitError, TimeoutError):
            failure = SourceLostError(
                f"{self._shown} has sent nothing for {self._timeout_s:g} s", "See whether the camera is on"
            )
        except Exception as error:
            refusal = self._relay.refusal if self._relay is not None else ""
            failure = SourceLostError(
                f"{self._shown} broke off ({refusal or reason(error)})", "See whether the camera is on"
            )
        if failure is not None:
            raise failure

    def _pts_s(self, picture: av.VideoFrame) -> float | None:
        pts_s = None if self._name in _UNTIMED else picture.time
        return pts_s if self.info.live else self._recorded.place(pts_s, frame_s(picture, self.info.fps))

    def _broken(self, error: Exception, why: str) -> SourceError:
        return SourceError(f"{self._shown}, after {self._count} frames: {why}", "Upload it again")

    def _blind(self) -> SourceError:
        why = f" (the last was {self.state.left_out_for})" if self.state.left_out_for else ""
        return SourceLostError(
            f"{self._shown} has sent nothing that can be used for {BLIND_S:g} s{why}",
            "See whether ffplay or VLC shows it",
        )

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        """The packets one after the other, each within the timeout and the limit of bytes."""
        connection = self._http or self._relay
        assert connection is not None
        if self._http is not None:
            self._http.allow(self._timeout_s)
        for packet in self._jpeg_packets() if self._container is None else self._container.demux(self._stream):
            connection.renew()
            yield packet
            if self._http is not None:
                self._http.allow(self._timeout_s)

    def _jpeg_packets(self) -> Iterator[av.Packet[VideoStream]]:
        first, self._first = self._first, b""
        for jpeg in chain([first], self._jpegs):
            packet = cast("av.Packet[VideoStream]", av.Packet(jpeg))
            packet.is_keyframe = True
            yield packet

    def close(self) -> None:
        """Release the connection and end the iteration at once, even of a stream that has fallen silent."""
        super().close()
        if self._reader is not None:
            self._reader.stop()
        if self._http is not None:
            self._http.close()

    def _release(self) -> None:
        if self._reader is None:
            self._let_go()

    def _let_go(self) -> None:
        if self._container is not None:
            with suppress(Exception):
                self._container.close()
        for connection in (self._http, self._relay):
            if connection is not None:
                connection.close()


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
