"""GStreamer pipelines: how they are written, and run where OpenCV has GStreamer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import cv2
import pytest

from edgeseg.errors import MissingDependencyError, SourceError
from edgeseg.video.sources.gst import csi_pipeline, gst_pipeline
from edgeseg.video.sources.registry import open_source

REPOSITORY = Path(__file__).resolve().parents[4]
_SYSTEM_PYTHON = "/usr/bin/python3"  # whose OpenCV, from Debian's packages, has GStreamer


def test_a_jetsons_camera() -> None:
    assert csi_pipeline("csi://1?width=1920&height=1080&fps=29.97&flip=2") == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM), width=1920, height=1080, framerate=2997/100, format=NV12 ! "
        "nvvidconv flip-method=2 ! video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )
    assert "sensor-id=0 ! video/x-raw(memory:NVMM), width=1280, height=720, framerate=30/1" in csi_pipeline("csi://0")


def test_an_appsink_is_added_where_there_is_none() -> None:
    assert gst_pipeline("v4l2src").startswith("v4l2src ! videoconvert ! video/x-raw, format=BGR ! appsink drop=true")
    assert gst_pipeline("v4l2src ! videoconvert ! appsink") == "v4l2src ! videoconvert ! appsink"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("csi://front", "csi://front does not name a camera. Write csi://0"),
        ("csi://0?rotate=2", "unknown parameter 'rotate'. It takes width, height, fps, flip"),
        ("csi://0?flip=9", "flip is '9'"),
    ],
)
def test_what_is_written_wrong(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(uri, on_lost="wait")


@pytest.mark.skipif(
    cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason="needs an OpenCV without GStreamer, as PyPI's is"
)
@pytest.mark.parametrize("uri", ["csi://0", "gst:rtspsrc location=rtsp://ada:s3cret@camera/x ! fakesink" + " " * 300])
def test_without_gstreamer_it_says_so_and_what_to_install(uri: str) -> None:
    with pytest.raises(MissingDependencyError, match=r"without it.* apt install python3-opencv") as caught:
        open_source(uri, on_lost="wait")
    assert "s3cret" not in str(caught.value)


_READS = """
from itertools import islice
from edgeseg.video.sources.registry import open_source

pipeline = "videotestsrc is-live=true pattern=red ! video/x-raw,width=64,height=48,framerate=25/1"
source = open_source("gst:" + pipeline)
frames = list(islice(source, 10))
assert [frame.index for frame in frames] == list(range(10))
assert all(frame.size == (48, 64) and frame.rgb_u8[20, 20].tolist() == [255, 0, 0] for frame in frames)
source.close()
assert list(source) == []

# One that ends is lost, and begins anew.
source = open_source("gst:videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48")
assert [frame.index for frame in islice(source, 8)] == list(range(8))
assert source.state.reconnects >= 2
source.close()

try:
    open_source("gst:videotestsrc ! video/x-raw,width=64,height=48,format=GRAY8 ! appsink").__next__()
except Exception as error:
    assert "no colour pictures of 3 channels" in str(error), error

try:
    open_source("gst:rtspsrc location=rtsp://ada:s3cret@127.0.0.1:9/x ! decodebin")
except Exception as error:
    assert "does not start: rtspsrc location=rtsp://***@127.0.0.1:9/x" in str(error), error
print("read")
"""


def test_pipelines_run_where_opencv_has_gstreamer() -> None:
    has = "import cv2, sys; sys.exit(not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))"
    try:
        subprocess.run([_SYSTEM_PYTHON, "-c", has], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("needs an OpenCV with GStreamer: apt install python3-opencv gstreamer1.0-plugins-base")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [_SYSTEM_PYTHON, "-c", _READS], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "read\n", done.stderr
    assert "s3cret" not in done.stderr
