"""GStreamer pipelines through an OpenCV that was built with it, the Jetson's CSI cameras among them.

gst:PIPELINE                                         as for gst-launch-1.0; the appsink at its end may be left out
csi://0?width=1280&height=720&fps=30&flip=0          a Jetson's camera of that number, through nvarguscamerasrc
"""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import cv2

from edgeseg.errors import MissingDependencyError, SourceError
from edgeseg.video.sources.base import SourceLostError
from edgeseg.video.sources.camera import CameraSource
from edgeseg.video.sources.opencv_log import Quiet
from edgeseg.video.sources.uri import FPS, SIDE, parameters, redacted

_FORMS = {
    "width": (SIDE, "width=1280"),
    "height": (SIDE, "height=720"),
    "fps": FPS,
    "flip": ("[0-7]", "flip=2, which turns it upside down; the numbers are those of nvvidconv"),
}
_NEWEST = "appsink drop=true max-buffers=1 sync=false"  # the newest frame, neither queued nor waited for
_OPEN_S = 10.0
_READ_S = 5.0


class GstSource(CameraSource):
    """What a GStreamer pipeline delivers; always taken as live."""

    _REMEDY = "Try the pipeline with gst-launch-1.0"

    @classmethod
    def open(cls, uri: str) -> GstSource:
        """Open ``gst:PIPELINE`` or ``csi://N``.

        Raises:
            MissingDependencyError: this OpenCV was built without GStreamer.
            SourceLostError: the pipeline does not start.
            SourceError: no number of a camera, or an unknown parameter.
        """
        pipeline = csi_pipeline(uri) if uri.startswith("csi:") else gst_pipeline(uri.partition(":")[2])
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise MissingDependencyError(
                f"{redacted(uri)} needs GStreamer, and this OpenCV {cv2.__version__} is built without it, as PyPI's is",
                "Use the system's (sudo apt install python3-opencv; JetPack brings one) in an environment made with "
                "--system-site-packages: pip uninstall opencv-python; pip install 'numpy<2'",
            )
        with Quiet():
            capture = _start(pipeline)
            if capture is None or not capture.isOpened():
                raise SourceLostError(
                    f"the GStreamer pipeline does not start: {redacted(f'gst:{pipeline}').removeprefix('gst:')}",
                    "Try it with gst-launch-1.0, which tells why; with fakesink in place of appsink and what follows",
                )
            return cls(capture, redacted(uri))


def _start(pipeline: str) -> cv2.VideoCapture | None:
    """The pipeline as a capture; None where it takes too long: with unknown elements OpenCV 4.6 never returns."""
    arguments: list[Any] = [pipeline, cv2.CAP_GSTREAMER]
    if tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 7):  # others know no limits, and fail where they are set
        arguments.append([cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(_READ_S * 1000)])
    started: list[cv2.VideoCapture] = []
    thread = threading.Thread(target=lambda: started.append(cv2.VideoCapture(*arguments)), daemon=True)
    thread.start()
    thread.join(_OPEN_S)
    return started[0] if started else None


def gst_pipeline(text: str) -> str:
    """The pipeline with frames in OpenCV's format at its end, the newest alone; as it is where it has an appsink."""
    return text if "appsink" in text else f"{text} ! videoconvert ! video/x-raw, format=BGR ! {_NEWEST}"


def csi_pipeline(uri: str) -> str:
    """The pipeline of ``csi://N?width=…&height=…&fps=…&flip=…``: 1280x720 at 30 fps if left out.

    Raises:
        SourceError: no number of a camera, or an unknown parameter.
    """
    name, _, query = uri.partition("?")
    number = name.partition(":")[2].removeprefix("//")
    if not number.isdecimal():
        raise SourceError(f"{redacted(uri)} does not name a camera", "Write csi://0")
    wanted = parameters(uri, query, _FORMS)
    fps = Fraction(wanted.get("fps", "30"))
    return gst_pipeline(
        f"nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM), width={wanted.get('width', '1280')}, "
        f"height={wanted.get('height', '720')}, framerate={fps.numerator}/{fps.denominator}, format=NV12 ! "
        f"nvvidconv flip-method={wanted.get('flip', '0')} ! video/x-raw, format=BGRx"
    )
