"""V4L2 and USB cameras through OpenCV."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from glob import glob

import cv2
import numpy as np

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.one_pass import OnePassSource
from edgeseg.video.source import StreamInfo


class CameraSource(OnePassSource):
    """A camera, read as fast as it delivers so that the driver's buffers never grow old.

    Args:
        capture: an opened OpenCV capture.
        uri: what to call it.
    """

    def __init__(self, capture: cv2.VideoCapture, uri: str) -> None:
        self._capture = capture
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
        """Open ``camera:N``.

        Raises:
            SourceError: no number, no such camera, no right to use it, or it is busy.
        """
        text = uri.partition(":")[2]
        if not text.isdecimal():
            raise SourceError(f"{uri} does not name a camera", "Write camera:0, or --camera 0")
        number = int(text)
        device = f"/dev/video{number}"
        on_linux = sys.platform == "linux"
        if on_linux and not os.path.exists(device):
            others = ", ".join(camera_devices())
            raise SourceError(
                f"there is no camera {device}; " + (f"there are {others}" if others else "no /dev/video* exists"),
                "Pass the number of one of these with --camera" if others else "Plug one in, or run on synthetic:",
            )
        if on_linux and not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(
                f"{device} may not be opened by this user", "Add yourself to the group that owns it: video"
            )
        # OpenCV tells of a failed open on stderr, in its own words.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2 if on_linux else cv2.CAP_ANY)
        if not capture.isOpened():
            raise SourceError(
                f"{device if on_linux else uri} does not open as a camera",
                "Close other programs that use it, or try another number: a camera may show several devices",
            )
        return cls(capture, uri)

    def _frames(self) -> Iterator[Frame]:
        index = 0
        start_s = time.monotonic()
        while True:
            delivered, bgr = self._capture.read()
            captured_s = time.monotonic()
            if not delivered:
                raise SourceError(f"{self.info.uri} stopped delivering after {index} frames", "Check its cable")
            rgb_u8 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            yield Frame(rgb_u8, index, captured_s, pts_s=captured_s - start_s)
            index += 1

    def _release(self) -> None:
        self._capture.release()


def camera_devices() -> list[str]:
    """The V4L2 devices there are, such as ``/dev/video0``; empty on systems that are not Linux."""
    return sorted(glob("/dev/video[0-9]*"))
