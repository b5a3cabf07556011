"""What is read out of a URI, and what is never shown of it."""

from __future__ import annotations

import pytest

from edgeseg.errors import SourceError
from edgeseg.video.sources.uri import FPS, SIDE, parameters, redacted


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
        ("rtsp://ada:my s3cret@camera/x", "rtsp://***@camera/x"),
        ("http://camera/x?apikey=my s3cret&fps=5", "http://camera/x?apikey=***&fps=5"),
        ("http://camera/x?api_key=s3cret", "http://camera/x?api_key=***"),
        ("http://camera/x?access=s3cret", "http://camera/x?access=***"),
        ("http://camera/x?jwt=s3cret", "http://camera/x?jwt=***"),
        ("http://camera/x?bearer=s3cret", "http://camera/x?bearer=***"),
        ("http://camera/x?signature=s3cret", "http://camera/x?signature=***"),
        ("http://camera/x?cred=s3cret", "http://camera/x?cred=***"),
        ("http://camera/x?pin=1234&spin=5", "http://camera/x?pin=***&spin=5"),
        ("http://camera/x?code=1234&codec=h264&encoding=x", "http://camera/x?code=***&codec=h264&encoding=x"),
        ("http://camera/x?u=rtsp%3A%2F%2Fada%3As3cret%40camera%2Fy", "http://***@camera/y"),
        ("http://camera/x?u=rtsp%253A%252F%252Fada%253As3cret%2540camera", "http://***@camera"),
        ("http://camera/x?pass%77ord=s3cret", "http://camera/x?password=***"),
        ("http://camera/x?u=a%26token%3Ds3cret", "http://camera/x?u=a&token=***"),
        (
            "gst:rtspsrc location=rtsp://camera/x user-id=s3cret user-pw=s3\\ cret ! fakesink",
            "gst:rtspsrc location=rtsp://camera/x user-id=*** user-pw=*** ! fakesink",
        ),
        ('gst:rtspsrc user-pw="s3 \\"cret" ! fakesink', "gst:rtspsrc user-pw=*** ! fakesink"),
        ("gst:souphttpsrc user-pw = s3cret ! fakesink", "gst:souphttpsrc user-pw = *** ! fakesink"),
        ("Authorization: Bearer s3cret.s3cret", "Authorization: Bearer ***"),
        ("token eyJhbGciOiJIUzI1NiJ9.s3cret.s3cret", "token ***"),
        ("street 50%.mp4", "street 50%.mp4"),
        ("/data/100%25 street.mp4", "/data/100%25 street.mp4"),
        ("двор.mp4", "двор.mp4"),
        ("a\x1b[31m\n.mp4", r"a\x1b[31m\n.mp4"),
        ("\udcff.mp4", r"\xff.mp4"),
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
