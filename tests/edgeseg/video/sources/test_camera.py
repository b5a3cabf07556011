"""What a camera's URI says, and what is told where there is no such camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edgeseg.errors import SourceError
from edgeseg.video.sources.base import SourceLostError
from edgeseg.video.sources.camera import CameraSource, _set
from edgeseg.video.sources.registry import open_source


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("camera:front", "camera:front does not name a camera. Write camera:0"),
        ("v4l2:video0", "does not name a camera. Write v4l2:///dev/video0"),
        ("camera:0?widht=640", "unknown parameter 'widht'. It takes width, height, fps, format"),
        ("camera:0?width=0", "width is '0'. Write it as width=1280"),
        ("v4l2:///dev/video0?format=mjpeg", "format is 'mjpeg'. Write it as format=MJPG"),
    ],
)
def test_what_is_written_wrong(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_source(uri, on_lost="wait")
    assert not isinstance(caught.value, SourceLostError)


@pytest.mark.parametrize("uri", ["camera:873?width=640", "v4l2:///dev/video873?format=MJPG"])
def test_a_camera_that_is_not_there_can_be_waited_for(uri: str) -> None:
    with pytest.raises(SourceLostError, match="there is no camera /dev/video873"):
        open_source(uri)
    source = open_source(uri, on_lost="wait")
    assert source.state.condition == "lost"
    assert "there is no camera /dev/video873" in source.state.reason
    assert source.info.uri == uri
    assert source.info.live
    source.close()
    assert list(source) == []


def test_a_camera_that_does_not_give_what_was_asked_for_is_an_error(write_video: Callable[..., Path]) -> None:
    """OpenCV's capture of a file is a camera that cannot be set, and gives 64x48."""
    capture = cv2.VideoCapture(str(write_video("a.mp4")))
    _set(capture, {"width": "64", "height": "48", "fps": "5"}, "camera:0")
    with pytest.raises(SourceError, match=r"camera:0: the camera gives 64x48 in .{4} instead. See what it has: v4l2"):
        _set(capture, {"width": "1280", "height": "720"}, "camera:0")
    with pytest.raises(SourceError, match="instead"):
        _set(capture, {"format": "MJPG"}, "camera:0")


def test_a_camera_that_stops_delivering_is_lost(write_video: Callable[..., Path]) -> None:
    source = CameraSource(cv2.VideoCapture(str(write_video("a.mp4", frames=5))), "camera:0")
    for _ in range(5):
        next(source)
    with pytest.raises(SourceLostError, match=r"camera:0 stopped delivering after 5 frames. Check its cable"):
        next(source)
