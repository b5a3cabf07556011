"""V4L2 and USB cameras through OpenCV.

camera:0                                                   /dev/video0, with what the driver is set to
camera:0?width=1280&height=720&fps=30&format=MJPG          USB cameras are often fast enough as MJPG alone
v4l2:///dev/v4l/by-id/usb-046d_C920-video-index0?fps=30    the same by a path: this one stays when it is plugged again
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from glob import glob

import cv2
import numpy as np

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.sources.base import SourceLostError, StreamInfo
from edgeseg.video.sources.media import reason, too_large
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.opencv_log import Quiet
from edgeseg.video.sources.uri import FPS, SIDE, parameters, redacted

_FORMS = {
    "width": (SIDE, "width=1280"),
    "height": (SIDE, "height=720"),
    "fps": FPS,
    "format": (r"[A-Z0-9]{4}", "format=MJPG, four letters of V4L2"),
}
_BUFFERS = 2  # one that is read and one that is filled; with one alone drivers miss every second frame
_OLDEST_S = 10.0
_BLIND_S = 20.0  # without one picture that can be used, until it counts as lost
_BREATH_S = 0.01


class CameraSource(OnePassSource):
    """A camera, read as fast as it delivers so that the driver's buffers never grow old.

    Args:
        capture: an opened OpenCV capture.
        uri: what to call it.
    """

    _REMEDY = "Check its cable"

    def __init__(self, capture: cv2.VideoCapture, uri: str) -> None:
        self._capture = capture
        self._quiet = Quiet()
        super().__init__(
            StreamInfo(
                uri=uri,
                live=True,
                width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)) or None,
                height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) or None,
                fps=capture.get(cv2.CAP_PROP_FPS) or None,
            )
        )

    @classmethod
    def open(cls, uri: str) -> CameraSource:
        """Open ``camera:N`` or ``v4l2:///dev/…``, with the parameters at the top of this module.

        Raises:
            SourceLostError: no such camera, or it is busy.
            SourceError: no camera is named, no right to use it, it does not give what was asked for, or an unknown
                parameter.
        """
        name, _, query = uri.partition("?")
        wanted = parameters(uri, query, _FORMS)
        uri = redacted(uri)
        scheme, _, text = name.partition(":")
        on_linux = sys.platform == "linux"
        camera: int | str
        if scheme == "v4l2":
            camera = device = text.removeprefix("//")
            if not on_linux or not device.startswith("/"):
                raise SourceError(f"{uri} does not name a camera", "Write v4l2:///dev/video0 (Linux), or camera:0")
        elif text.isdecimal():
            camera = int(text)
            device = f"/dev/video{camera}"
        else:
            raise SourceError(f"{uri} does not name a camera", "Write camera:0")
        if on_linux:
            _check_device(device)
        with Quiet():
            capture = cv2.VideoCapture(camera, cv2.CAP_V4L2 if on_linux else cv2.CAP_ANY)
            if not capture.isOpened():
                raise SourceLostError(
                    f"{redacted(device) if on_linux else uri} does not open as a camera",
                    "Close other programs that use it, or try another number: a camera may show several devices",
                )
            try:
                _set(capture, wanted, uri)
            except BaseException:
                capture.release()
                raise
            return cls(capture, uri)

    def _frames(self) -> Iterator[Frame]:
        index = 0
        start_s = captured_s = seen_s = time.monotonic()
        while True:
            try:
                delivered, bgr = self._capture.read()
            except Exception as error:  # OpenCV raises where a picture is damaged, or too large for it
                self._leave_out(f"a damaged picture ({reason(error)})")
                delivered, bgr = time.monotonic() - seen_s < _BLIND_S, None
            if not delivered:
                raise SourceLostError(f"{self.info.uri} stopped delivering after {index} frames", self._REMEDY)
            if bgr is None:
                self._nap(_BREATH_S)
                if self._closed:
                    return
                continue
            if bgr.ndim != 3 or bgr.shape[2] != 3:
                raise SourceError(f"{self.info.uri} delivers no colour pictures of 3 channels", "Have it deliver BGR")
            captured_s = max(captured_s, self._captured_s())
            if why := too_large(*bgr.shape[:2]):
                self._leave_out(why)
                if captured_s - seen_s > _BLIND_S:
                    raise SourceLostError(f"{self.info.uri} delivers nothing but {why}", "Set it to a smaller size")
                continue
            rgb_u8 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            yield Frame(rgb_u8, index, captured_s, pts_s=captured_s - start_s)
            index += 1
            seen_s = captured_s

    def _captured_s(self) -> float:
        """When the frame just read was taken: V4L2 drivers date it by the clock of ``time.monotonic()``."""
        now_s = time.monotonic()
        if self._capture.getBackendName() == "V4L2":
            dated_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if now_s - _OLDEST_S < dated_s <= now_s:
                return dated_s
        return now_s

    def _release(self) -> None:
        with suppress(Exception):  # of a driver that is gone
            self._capture.release()
        self._quiet.release()


def camera_devices() -> list[str]:
    """The V4L2 devices there are, such as ``/dev/video0``; empty on systems that are not Linux."""
    return sorted(glob("/dev/video[0-9]*"))


def _check_device(device: str) -> None:
    if not os.path.exists(device):
        others = ", ".join(camera_devices())
        raise SourceLostError(
            f"there is no camera {redacted(device)}; " + (f"there are {others}" if others else "no /dev/video* exists"),
            "Pass camera: and the number of one of these" if others else "Plug one in, or try synthetic:",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"{redacted(device)} may not be opened by this user", "Add yourself to the group that owns it: video"
        )


def _set(capture: cv2.VideoCapture, wanted: Mapping[str, str], uri: str) -> None:
    """Set what was asked for; drivers take the next best where they lack it, which here is an error."""
    capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
    if "format" in wanted:  # before the size, as the sizes depend on it
        letters = wanted["format"]
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(letters[0], letters[1], letters[2], letters[3]))
    properties = {
        "width": cv2.CAP_PROP_FRAME_WIDTH,
        "height": cv2.CAP_PROP_FRAME_HEIGHT,
        "fps": cv2.CAP_PROP_FPS,
    }
    for name, number in properties.items():
        if name in wanted:
            capture.set(number, float(wanted[name]))
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    given = {
        "width": f"{capture.get(cv2.CAP_PROP_FRAME_WIDTH):.0f}",
        "height": f"{capture.get(cv2.CAP_PROP_FRAME_HEIGHT):.0f}",
        "format": "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)),
    }
    if any(wanted.get(name, given[name]) != given[name] for name in given):  # a rate is near enough, or the next best
        raise SourceError(
            f"{uri}: the camera gives {given['width']}x{given['height']} in {given['format']} instead",
            "See what it has: v4l2-ctl --device DEVICE --list-formats-ext",
        )
