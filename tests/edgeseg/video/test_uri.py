"""What is read out of a URI, and what is never shown of it."""

from __future__ import annotations

import pytest

from edgeseg.errors import SourceError
from edgeseg.video.uri import FPS, SIDE, parameters, redacted


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://ada:s3cret@camera/stream", "rtsp://***@camera/stream"),
        ("rtsp://ada@camera/stream", "rtsp://***@camera/stream"),
        ("rtsp://ada:s3@cr/et#x@camera:554/stream?a=1", "rtsp://***@camera:554/stream?a=1"),
        ("http://camera/live?user=ada&password=s3cret&fps=5", "http://camera/live?user=ada&password=***&fps=5"),
        ("http://camera/live?access_token=s3cret#live=1", "http://camera/live?access_token=***#live=1"),
        ("http://camera/live?loginuse=ada&loginpas=s3cret", "http://camera/live?loginuse=ada&loginpas=***"),
        ("http://camera/live?API-KEY=s3cret", "http://camera/live?API-KEY=***"),
        ("rtsp://camera/user=ada_password=s3cret_channel=1", "rtsp://camera/user=ada_password=***"),
        (
            'gst:rtspsrc location=rtsp://ada:s3cret@camera/x user-pw="s3 cret" latency=0 ! fakesink',
            "gst:rtspsrc location=rtsp://***@camera/x user-pw=*** latency=0 ! fakesink",
        ),
        ("rtsp://camera:8554/stream?width=640#transport=udp", "rtsp://camera:8554/stream?width=640#transport=udp"),
        ("RTSP:/ada:s3cret@camera/stream", "RTSP://***@camera/stream"),
        ("http:ada:s3cret@camera/stream", "http://***@camera/stream"),
        ("street.mp4", "street.mp4"),
        ("me@home/street.mp4", "me@home/street.mp4"),
    ],
)
def test_credentials_are_never_shown(uri: str, shown: str) -> None:
    assert redacted(uri) == shown


def test_parameters_are_read_by_name() -> None:
    forms = {"width": (SIDE, "width=640"), "fps": FPS}
    assert parameters("camera:0", "width=640&fps=29.97", forms) == {"width": "640", "fps": "29.97"}
    assert parameters("camera:0", "", forms) == {}


def test_a_mistake_in_a_parameter_is_told_without_credentials() -> None:
    forms = {"fps": FPS}
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@camera has the unknown parameter 'fsp'. It takes fps"):
        parameters("rtsp://ada:s3cret@camera", "fsp=3", forms)
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@camera: fps is 'fast'. Write it as fps=30"):
        parameters("rtsp://ada:s3cret@camera", "fps=fast", forms)
