"""Real servers that tests read from: RTSP as a process of its own, Motion JPEG over HTTP on threads."""

from __future__ import annotations

import subprocess
import threading
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_PYTHON = "/usr/bin/python3"  # the one that Debian's bindings are for
_APT = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly"


@cache
def _why_no_rtsp() -> str:
    code = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
        "Gst.init(None); assert all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'videotestsrc')))"
    )
    try:
        subprocess.run([_PYTHON, "-c", code], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return f"needs an RTSP server: apt install {_APT}"
    return ""


class RtspServer:
    """``rtsp://127.0.0.1:PORT/street``: a moving ball, which can be killed and started again.

    Args:
        size: WIDTHxHEIGHT.
        fps: frames, and one key picture, per second.
        login: USER:PASSWORD; none if left out.
        digest: whether the password is asked for by Digest rather than Basic.
    """

    def __init__(self, size: str = "320x240", fps: int = 25, login: str = "", digest: bool = False) -> None:
        if _why_no_rtsp():
            pytest.skip(_why_no_rtsp())
        self._arguments = [size, str(fps), login, "digest" if digest else "basic"]
        self._port = "0"
        self.start()

    def start(self) -> None:
        """Start, on the same port as before; returns once it listens."""
        self._process = subprocess.Popen(
            [_PYTHON, str(_SCRIPT), self._port, *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        with self._process.stdout as output:
            self._port = output.readline().strip()
        assert self._port, "the RTSP server does not start"

    def kill(self) -> None:
        """End it the hard way, as a power cut does; more than once is harmless."""
        self._process.kill()
        self._process.wait()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._port)

    def uri(self, login: str = "") -> str:
        """The address, with credentials."""
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{self._port}/street"


class MjpegServer:
    """``http://127.0.0.1:PORT/``: frames that grow brighter, as cameras and Raspberry Pis send them.

    Args:
        fps: frames per second.

    Attributes:
        size: (height, width) of the frames from now on.
        silent: set, it keeps the connection and sends nothing.
        damaged: set, it sends parts that are no JPEGs.
    """

    def __init__(self, fps: float = 50.0) -> None:
        self.size = (48, 64)
        self.silent = threading.Event()
        self.damaged = threading.Event()
        self._closed = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Stay quiet."""

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                brightness = 0
                while not owner._closed.wait(1 / fps):
                    if owner.silent.is_set():
                        continue
                    brightness = (brightness + 5) % 256
                    picture = np.full((*owner.size, 3), brightness, dtype=np.uint8)
                    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
                    if owner.damaged.is_set():
                        jpeg = jpeg[:20] + b"\0" * 100
                    header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    try:
                        self.wfile.write(header.encode() + jpeg + b"\r\n")
                    except OSError:
                        return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def uri(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.port}/camera.mjpg"

    def kill(self) -> None:
        """End it; more than once is harmless."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def serve_folder(folder: Path) -> str:
    """The address, ending in a slash, at which the files of a folder are served while the tests last."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"
