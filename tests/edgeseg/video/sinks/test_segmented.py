"""Video in segments: where they begin, what is left after a kill, and what becomes of those that are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest

from edgeseg.errors import InputError, SinkError
from edgeseg.files.whole import keep_apart
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.base import ResultSkipped
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sinks.segmented import SegmentedMp4Sink

pytestmark = pytest.mark.any_python


def _at(pts_s: float | None, height: int = 48, width: int = 64) -> Result:
    return Result(Frame(np.full((height, width, 3), 90, np.uint8), 0, 0.0, pts_s=pts_s))


def _write(sink: SegmentedMp4Sink, times_s: Sequence[float | None]) -> None:
    for time_s in times_s:
        sink.write(_at(time_s))
    sink.close()


def _times_s(path: Path) -> list[float]:
    """Of the pictures of a file, which must begin with a keyframe."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    assert pictures[0].key_frame
    return [picture.time for picture in pictures if picture.time is not None]


def _segments(folder: Path) -> dict[str, int]:
    """How many pictures each file has."""
    return {path.name: len(_times_s(path)) for path in sorted(folder.glob("[!.]*"))}


def test_segments_are_cut_by_presentation_time_and_play_by_themselves(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "clip-%03d.mp4", seconds=0.4), [100 + index / 25 for index in range(25)])
    assert _segments(tmp_path) == {"clip-000.mp4": 10, "clip-001.mp4": 10, "clip-002.mp4": 5}
    for path in tmp_path.iterdir():
        times_s = _times_s(path)
        assert times_s == pytest.approx([index / 25 for index in range(len(times_s))], abs=1e-4)
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")


def test_frames_without_a_time_have_the_given_rate(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1, fps=4), [None] * 10)
    assert _segments(tmp_path) == {"0.mp4": 4, "1.mp4": 4, "2.mp4": 2}


def test_a_pause_makes_no_empty_segments(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1), [0.0, 0.5, 60.0, 60.5, 61.0])
    assert _segments(tmp_path) == {"0.mp4": 2, "1.mp4": 2, "2.mp4": 1}


def test_a_source_that_begins_again_begins_a_segment(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=60), [0.0, 10.0, 20.0, 0.0, 10.0])
    assert _times_s(tmp_path / "0.mp4") == pytest.approx([0, 10, 20])
    assert _times_s(tmp_path / "1.mp4") == pytest.approx([0, 10])


def test_times_that_waver_do_not(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=60), [5.0, 5.1, 5.05, 5.05, 5.2])
    assert _segments(tmp_path) == {"0.mp4": 5}


def test_another_size_begins_a_segment(tmp_path: Path) -> None:
    sink = SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=60)
    for index, (height, width) in enumerate([(48, 64), (48, 64), (96, 128), (48, 64)]):
        sink.write(_at(index / 25, height, width))
    sink.close()
    assert _segments(tmp_path) == {"0.mp4": 2, "1.mp4": 1, "2.mp4": 1}
    with av.open(str(tmp_path / "1.mp4")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (96, 128)


def test_numbers_go_on_after_the_highest_that_is_there(tmp_path: Path) -> None:
    for name in ("clip-007.mp4", "clip-0099.mp4", "clip-x.mp4", "other-500.mp4"):
        (tmp_path / name).write_bytes(b"yesterday's")
    _write(SegmentedMp4Sink(tmp_path / "clip-%03d.mp4", seconds=1), [0.0, 1.0])
    new = {"clip-008.mp4", "clip-009.mp4"}
    assert {path.name for path in tmp_path.iterdir() if path.read_bytes() != b"yesterday's"} == new
    _write(SegmentedMp4Sink(tmp_path / "clip-%03d.mp4", seconds=1), [0.0])
    assert len(_times_s(tmp_path / "clip-010.mp4")) == 1


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1).close()
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_are_deleted_those_of_earlier_runs_too(tmp_path: Path) -> None:
    pattern = tmp_path / "clip-%03d.mp4"
    (tmp_path / "note.mp4").write_bytes(b"mine")
    _write(SegmentedMp4Sink(pattern, seconds=1), [0.0, 1.0, 2.0, 3.0])
    _write(SegmentedMp4Sink(pattern, seconds=1, keep=3), [0.0, 1.0])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["clip-003.mp4", "clip-004.mp4", "clip-005.mp4", "note.mp4"]
    _write(SegmentedMp4Sink(pattern, seconds=1, keep=1), [0.0, 1.0, 2.0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip-008.mp4", "note.mp4"]


def test_clips_of_the_users_own_are_never_deleted_nor_written_over(tmp_path: Path) -> None:
    pattern = tmp_path / "clip-%03d.mp4"
    video = tmp_path / "clip-000.mp4"
    _write(SegmentedMp4Sink(tmp_path / "other-%03d.mp4", seconds=9), [0.0])
    (tmp_path / "other-000.mp4").rename(video)  # a segment, but none of this pattern
    (tmp_path / "clip-001.mp4").write_bytes(b"mine")
    _write(SegmentedMp4Sink(pattern, seconds=1), [0.0, 1.0])
    (tmp_path / "clip-002.mp4").rename(tmp_path / "clip-900.mp4")  # moved out of the way of deletion
    (tmp_path / "clip-003.mp4").write_bytes(b"mine")  # and one put in the place of ours
    _write(SegmentedMp4Sink(pattern, seconds=1, keep=1), [0.0, 1.0, 2.0])
    names = {"clip-000.mp4", "clip-001.mp4", "clip-003.mp4", "clip-900.mp4", "clip-903.mp4"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for number in (1, 3):
        assert (tmp_path / f"clip-{number:03d}.mp4").read_bytes() == b"mine"


def test_a_file_that_appears_meanwhile_is_passed_over(tmp_path: Path) -> None:
    sink, other = (SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1) for _ in range(2))
    sink.write(_at(0.0))
    (tmp_path / "1.mp4").write_bytes(b"mine")
    other.write(_at(0.0))  # would have begun with 0 as well
    sink.write(_at(1.0))
    other.close()
    sink.close()
    assert (tmp_path / "1.mp4").read_bytes() == b"mine"
    assert [len(_times_s(tmp_path / f"{number}.mp4")) for number in (0, 2, 3)] == [1, 1, 1]


def _live(captured_s: float, *, size: tuple[int, int] = (48, 64), pts_s: float | None = None) -> Result:
    picture = np.full((*size, 3), 90, np.uint8)
    return Result(Frame(picture, 0, captured_s, pts_s=captured_s if pts_s is None else pts_s))


def test_sizes_that_alternate_begin_one_segment_a_second_and_drive_out_nothing(tmp_path: Path) -> None:
    pattern = tmp_path / "clip-%03d.mp4"
    _write(SegmentedMp4Sink(pattern, seconds=60), [0.0, 60.0, 120.0])
    old = {f"clip-{number:03d}.mp4" for number in range(3)}
    sink = SegmentedMp4Sink(pattern, seconds=60, keep=4, live=True)
    left_out = 0
    for index in range(300):  # ten seconds
        try:
            sink.write(_live(index / 30, size=((48, 64), (64, 48))[index % 2]))
        except ResultSkipped:
            left_out += 1
    sink.close()
    counts = _segments(tmp_path)
    assert old <= set(counts)
    assert len(counts) - len(old) <= 11
    assert sum(counts.values()) - len(old) == 300 - left_out
    assert 100 < left_out < 160


def test_times_that_leap_begin_no_segment_of_a_live_source(tmp_path: Path) -> None:
    pattern = tmp_path / "clip-%03d.mp4"
    _write(SegmentedMp4Sink(pattern, seconds=60), [0.0, 60.0])
    sink = SegmentedMp4Sink(pattern, seconds=60, keep=2, live=True)
    for index in range(90):
        leaps_s = (4.9 * index, -3600.0 * index, 1e6 * (index % 2))[index % 3]
        sink.write(_live(index / 30, pts_s=leaps_s))
    sink.close()
    assert list(_segments(tmp_path)) == ["clip-000.mp4", "clip-001.mp4", "clip-002.mp4"]
    assert _segments(tmp_path)["clip-002.mp4"] == 90


def test_a_camera_is_recorded_in_segments_of_our_own_clock(tmp_path: Path) -> None:
    sink = SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=2, live=True)
    for index in range(50):
        sink.write(_live(100 + index / 10))
    sink.close()
    assert _segments(tmp_path) == {"0.mp4": 20, "1.mp4": 20, "2.mp4": 10}


def test_runs_that_are_cut_short_drive_out_nothing_that_is_younger(tmp_path: Path) -> None:
    """A service that crashes and begins again every few seconds."""
    pattern = tmp_path / "%d.mp4"
    for _ in range(6):
        sink = SegmentedMp4Sink(pattern, seconds=60, keep=3, live=True)
        sink.write(_live(0.0))
        sink.close()
    assert len(_segments(tmp_path)) == 6
    for number in range(6):
        age_s = 60 * (6 - number)
        os.utime(tmp_path / f"{number}.mp4", (time.time() - age_s, time.time() - age_s))
    sink = SegmentedMp4Sink(pattern, seconds=60, keep=3, live=True)
    sink.write(_live(0.0))
    sink.close()
    assert list(_segments(tmp_path)) == ["4.mp4", "5.mp4", "6.mp4"]


def test_the_oldest_go_where_all_take_too_much(tmp_path: Path) -> None:
    pattern = tmp_path / "%d.mp4"
    _write(SegmentedMp4Sink(pattern, seconds=1), [float(index) for index in range(5)])
    size = (tmp_path / "0.mp4").stat().st_size
    _write(SegmentedMp4Sink(pattern, seconds=1, keep_bytes=int(3.5 * size)), [0.0, 1.0])
    assert list(_segments(tmp_path)) == ["4.mp4", "5.mp4", "6.mp4"]


def test_what_would_be_deleted_is_no_source_of_the_same_run(tmp_path: Path) -> None:
    pattern = tmp_path / "clip-%d.mp4"
    _write(SegmentedMp4Sink(pattern, seconds=1), [0.0, 1.0, 2.0])
    with pytest.raises(SinkError, match=r"clip-0\.mp4 is read by this run"):
        keep_apart(SegmentedMp4Sink(pattern, seconds=1, keep=1).outputs, [tmp_path / "clip-0.mp4"])
    keep_apart(SegmentedMp4Sink(pattern, seconds=1).outputs, [tmp_path / "clip-0.mp4"])


def test_writing_goes_on_while_the_segment_before_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_finish = threading.Event()
    close = Mp4Sink.close

    def close_when_told(sink: Mp4Sink) -> None:
        assert may_finish.wait(60)
        close(sink)

    monkeypatch.setattr(Mp4Sink, "close", close_when_told)
    sink = SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1)
    for time_s in (0.0, 0.5, 1.0, 1.5):
        sink.write(_at(time_s))  # would wait for what it must not wait for
    may_finish.set()
    sink.close()
    assert _segments(tmp_path) == {"0.mp4": 2, "1.mp4": 2}


def test_a_segment_that_could_not_be_written_is_told(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="needs a system with limits on processes")
    script = f"""
import resource, signal
import numpy as np
from edgeseg.errors import SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.segmented import SegmentedMp4Sink
sink = SegmentedMp4Sink({str(tmp_path / "%d.mp4")!r}, seconds=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
rng = np.random.default_rng(0)
try:
    for index in range(100):
        sink.write(Result(Frame(rng.integers(0, 256, (48, 64, 3), np.uint8), index, 0.0, pts_s=index / 25)))
except SinkError as error:
    print(error)
sink.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.mp4 could not be written" in done.stdout
    assert "File too large" in done.stdout


def test_after_a_kill_all_segments_play_the_last_up_to_its_last_second(tmp_path: Path) -> None:
    script = f"""
import signal
import numpy as np
from edgeseg.files.whole import keep_apart
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.segmented import SegmentedMp4Sink
sink = SegmentedMp4Sink({str(tmp_path / "clip-%d.mp4")!r}, seconds=4)
for index in range(290):
    sink.write(Result(Frame(np.full((48, 64, 3), index % 256, np.uint8), index, 0.0, pts_s=index / 25)))
print("written", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
        finally:
            process.kill()
    counts = _segments(tmp_path)
    assert counts["clip-0.mp4"] == 100
    assert 50 <= counts["clip-2.mp4"] <= 90
    assert counts["clip-1.mp4"] in range(75, 101)  # what the encoder still held where it was being finished


def test_a_run_that_is_killed_leaves_its_segments_whole(tiny_onnx: Path, tmp_path: Path) -> None:
    """In the middle of its work, wherever that is: as when the memory is gone."""
    command = [sys.executable, "-m", "edgeseg", "run", "synthetic:?frames=100000&size=64x48&fps=10", "--jsonl", "-"]
    command += ["--save", str(tmp_path / "clip-%d.mp4"), "--segment-secs", "4", "--model", str(tiny_onnx)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            for _ in range(144):  # into the fourth segment, or a few frames less far
                assert json.loads(process.stdout.readline())["schema"] == 1
        finally:
            process.kill()
    segments = sorted(tmp_path.glob("[!.]*"), key=lambda path: int(path.stem.removeprefix("clip-")))
    *finished, _finishing, _begun = segments
    assert len(finished) >= 2
    assert [len(_times_s(path)) for path in finished] == [40] * len(finished)
    assert len(_times_s(segments[-2])) >= 20


def test_what_a_kill_left_half_done_goes_with_the_next_run(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1), [0.0])
    (tmp_path / f".0.mp4.{'a' * 16}.part").write_bytes(b"half")
    SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1).close()
    assert [path.name for path in tmp_path.iterdir()] == ["0.mp4"]


@pytest.mark.parametrize("name", ["clip.mp4", "%d-%d.mp4", "clip-%s.mp4", "clip-%.mp4", "100%-%d.mp4"])
def test_a_pattern_says_once_where_the_number_goes(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError, match=r"must say once where the number goes.*clip-%03d\.mp4"):
        SegmentedMp4Sink(tmp_path / name, seconds=1)


def test_what_cannot_be_is_refused_before_the_run(tmp_path: Path) -> None:
    for name, message in {"missing/%d.mp4": "there is no folder", "%d.avi": "is not an .mp4"}.items():
        with pytest.raises(SinkError, match=message):
            SegmentedMp4Sink(tmp_path / name, seconds=1)
    for seconds, keep in ((0.0, None), (-1.0, None), (float("nan"), None), (1.0, 0)):
        with pytest.raises(InputError, match="Use more than 0 s"):
            SegmentedMp4Sink(tmp_path / "%d.mp4", seconds, keep=keep)
    assert list(tmp_path.iterdir()) == []


def test_after_close_nothing_is_written(tmp_path: Path) -> None:
    sink = SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1)
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        sink.write(_at(0.0))
