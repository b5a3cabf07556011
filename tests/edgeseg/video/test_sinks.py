"""What each output holds, and what is refused before a run begins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import cv2
import numpy as np
import pytest

from edgeseg.errors import SinkError
from edgeseg.spec import ModelSpec
from edgeseg.types import Frame, LabelsU8, Result, Segmentation
from edgeseg.video.sinks.base import SinkClosed
from edgeseg.video.sinks.jsonl import JsonLinesSink
from edgeseg.video.sinks.mask import MaskSink
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sinks.window import WindowSink, display_works
from edgeseg.video.status import SourceState, StreamStatus

SPEC = ModelSpec(network="none", class_names=("a", "b", "c"))


def _picture(height: int = 48, width: int = 64, color: tuple[int, int, int] = (10, 20, 30)) -> Result:
    return Result(Frame(np.full((height, width, 3), color, dtype=np.uint8), 0, 0.0))


def _labelled(labels: LabelsU8, index: int = 0, name: str = "") -> Result:
    frame = Frame(np.zeros((*labels.shape, 3), dtype=np.uint8), index, 0.0, name=name)
    return Result(frame, segmentation=Segmentation(labels, SPEC))


def _at(time_s: float) -> Result:
    return Result(Frame(np.zeros((48, 64, 3), dtype=np.uint8), 0, 0.0, pts_s=time_s))


def test_mp4_keeps_the_distances_in_time(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    for time_s in (7.0, 7.04, 7.3, 7.31, 9.0):
        sink.write(_at(time_s))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        times_s = [frame.time for frame in container.decode(video=0)]
    assert times_s == pytest.approx([0, 0.04, 0.3, 0.31, 2.0], abs=1e-4)


def test_mp4_survives_times_that_repeat_or_go_back(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    for time_s in (1.0, 1.0, 0.5, 2.0):
        sink.write(_at(time_s))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        times_s = [frame.time for frame in container.decode(video=0) if frame.time is not None]
    assert len(times_s) == 4
    assert times_s == sorted(times_s)


def test_mp4_of_stills_has_the_given_rate(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4", fps=4)
    for _ in range(3):
        sink.write(_picture())
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([0, 0.25, 0.5])


def test_mp4_is_what_a_browser_plays(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    sink.write(_picture(color=(200, 30, 40)))
    sink.close()
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_allclose(rgb[24, 32], (200, 30, 40), atol=4)


@pytest.mark.parametrize(("height", "width"), [(47, 64), (48, 63), (47, 63)])
def test_mp4_pads_odd_sizes(tmp_path: Path, height: int, width: int) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    sink.write(_picture(height, width))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (48, 64)


def test_mp4_refuses_another_size_and_keeps_what_it_has(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    sink.write(_picture(48, 64))
    with pytest.raises(SinkError, match=r"out\.mp4 began with 64x48 pictures, now comes 80x48.*save segments or masks"):
        sink.write(_picture(48, 80))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 1


def test_mp4_that_was_never_closed_is_readable(tmp_path: Path) -> None:
    """As after a power cut: the process ends without a word to the sink."""
    path = tmp_path / "out.mp4"
    script = f"""
import os
import numpy as np
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.mp4 import Mp4Sink
sink = Mp4Sink({str(path)!r})
for index in range(200):
    sink.write(Result(Frame(np.full((48, 64, 3), index, dtype=np.uint8), index, 0.0, pts_s=index / 25)))
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    with av.open(str(path)) as container:
        assert 100 < sum(1 for _ in container.decode(video=0)) <= 200


def test_mp4_on_a_full_disk_is_refused_without_a_crash(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "out.mp4").symlink_to("/dev/full")
    script = f"""
import numpy as np
from edgeseg.errors import SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.mp4 import Mp4Sink
sink = Mp4Sink({str(tmp_path / "out.mp4")!r})
try:
    for index in range(200):
        sink.write(Result(Frame(np.full((48, 64, 3), index, dtype=np.uint8), index, 0.0, pts_s=index / 25)))
except SinkError as error:
    print(error)
sink.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout


def test_mp4_leaves_an_older_file_alone_until_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"yesterday's")
    Mp4Sink(path).close()
    assert path.read_bytes() == b"yesterday's"


def test_mp4_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for name, message in {
        "missing/out.mp4": "there is no folder",
        "out.avi": "is not an .mp4",
        "folder.mp4": "cannot be written",
    }.items():
        with pytest.raises(SinkError, match=message):
            Mp4Sink(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


def test_masks_hold_the_indices_and_255(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    sink = MaskSink(tmp_path / "masks")
    sink.write(_labelled(labels, name="street"))
    sink.write(_labelled(labels[::-1].copy(), index=17))
    sink.close()
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["000017.png", "street.png"]
    read = cv2.imread(str(tmp_path / "masks" / "street.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, labels)


def test_masks_of_one_name_are_not_written_over_each_other(tmp_path: Path) -> None:
    sink = MaskSink(tmp_path / "masks")
    sink.write(_labelled(np.zeros((2, 2), dtype=np.uint8), name="a"))
    with pytest.raises(SinkError, match="two images are called a"):
        sink.write(_labelled(np.ones((2, 2), dtype=np.uint8), name="a"))


def test_masks_of_an_earlier_run_are_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    for value in (1, 2):
        MaskSink(folder).write(_labelled(np.full((2, 2), value, np.uint8), name="a"))
    assert (cv2.imread(str(folder / "a.png"), cv2.IMREAD_UNCHANGED) == 2).all()
    photo = cv2.imencode(".png", np.full((2, 2, 3), 9, np.uint8))[1].tobytes()
    labels = cv2.imencode(".png", np.full((2, 2), 1, np.uint8))[1].tobytes()
    for name, mine in (("photo", photo), ("labels", labels), ("text", b"mine"), ("empty", b"")):
        (folder / f"{name}.png").write_bytes(mine)
        with pytest.raises(SinkError, match=rf"{name}\.png is there already, and is no mask"):
            MaskSink(folder).write(_labelled(np.zeros((2, 2), np.uint8), name=name))
        assert (folder / f"{name}.png").read_bytes() == mine
    assert len(list(folder.iterdir())) == 5


def test_masks_half_written_by_a_killed_run_are_gone_with_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    (folder / f".a.png.{'0' * 16}.part").write_bytes(b"half")
    MaskSink(folder).write(_labelled(np.zeros((2, 2), np.uint8), name="a"))
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_mp4_keeps_pixels_that_are_not_square(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    sink.write(Result(Frame(np.zeros((576, 720, 3), np.uint8), 0, 0.0, pts_s=0.0, pixel_aspect=Fraction(64, 45))))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.sample_aspect_ratio) == (720, 576, Fraction(64, 45))


def test_mp4_goes_on_where_times_begin_again(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "out.mp4")
    for time_s in (10.0, 10.5, 11.0, 11.5, 0.0, 0.5, 1.0):
        sink.write(_at(time_s))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        times_s = [frame.time for frame in container.decode(video=0)]
    assert times_s == pytest.approx([0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0], abs=1e-4)


@pytest.mark.parametrize(
    "name", [b"2024-11-14T22:57:44.mp4", b"http:x.mp4", b"caf\xe9.mp4", b"%d.mp4", b"a b#?.mp4", b"x" * 251 + b".mp4"]
)
def test_mp4_of_any_name(tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = Mp4Sink(os.fsdecode(name))
    for time_s in (0.0, 0.5):
        sink.write(_at(time_s))
    sink.close()
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    with open(os.path.join(os.fsencode(tmp_path), name), "rb") as file, av.open(file) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2
        file.seek(0)
        data = file.read()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("sink", [Mp4Sink, JsonLinesSink, MaskSink])
def test_a_name_that_is_too_long_is_refused_before_the_run(tmp_path: Path, sink: Callable[[Path], object]) -> None:
    with pytest.raises(SinkError, match="Choose a name of at most 255 bytes"):
        sink(tmp_path / f"{'ä' * 126}.mp4")


def test_masks_that_cannot_be_written_are_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"there is no folder .*missing for masks"):
        MaskSink(tmp_path / "missing" / "masks")
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="file cannot be written"):
        MaskSink(tmp_path / "file")


def test_a_window_without_a_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    display_works.cache_clear()
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":987")  # a server that is not there: Qt would abort this process
    try:
        with pytest.raises(SinkError, match=r"there is no display here.*Save the result"):
            WindowSink(paced=False)
    finally:
        display_works.cache_clear()


def test_a_paced_window_takes_the_time_the_frames_tell() -> None:
    if not display_works():
        pytest.skip("needs a display")
    sink = WindowSink(paced=True)
    start_s = time.monotonic()
    for time_s in (5.0, 5.1, 5.4):
        sink.write(_at(time_s))
    assert time.monotonic() - start_s >= 0.4
    cv2.destroyAllWindows()
    with pytest.raises(SinkClosed):
        sink.write(_at(5.5))
    sink.close()


def test_a_window_stays_alive_while_its_stream_is_lost_and_shows_that() -> None:
    if not display_works():
        pytest.skip("needs a display")
    sink = WindowSink(paced=False, title="lost")
    lost = StreamStatus("gate", "camera:0", SourceState("lost", "unplugged"), 1, 1, 0, 0.0, {}, {})
    sink.idle([lost])  # nothing was ever shown: nothing to look after
    picture = _picture(120, 160, (200, 100, 50))
    picture.stream = "gate"
    sink.write(picture)
    for _ in range(3):
        sink.idle([lost])
    cv2.destroyAllWindows()
    with pytest.raises(SinkClosed):
        sink.idle([lost])
    sink.close()
