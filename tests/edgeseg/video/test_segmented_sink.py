"""Video in segments: where they begin, what is left after a kill, and what becomes of those that are there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest

from edgeseg.errors import InputError, SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.mp4_sink import Mp4Sink, part_of
from edgeseg.video.segmented_sink import SegmentedMp4Sink


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
    for number in range(4):
        (tmp_path / f"clip-{number:03d}.mp4").write_bytes(b"yesterday's")
    (tmp_path / "note.mp4").write_bytes(b"yesterday's")
    _write(SegmentedMp4Sink(tmp_path / "clip-%03d.mp4", seconds=1, keep=3), [0.0, 1.0])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["clip-003.mp4", "clip-004.mp4", "clip-005.mp4", "note.mp4"]
    _write(SegmentedMp4Sink(tmp_path / "clip-%03d.mp4", seconds=1, keep=1), [0.0, 1.0, 2.0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip-008.mp4", "note.mp4"]


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


def test_a_segment_that_could_not_be_finished_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    script = f"""
import numpy as np
from pathlib import Path
from edgeseg.errors import SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.segmented_sink import SegmentedMp4Sink
sink = SegmentedMp4Sink({str(tmp_path / "%d.mp4")!r}, seconds=1)
Path({str(tmp_path / "0.mp4")!r}).symlink_to("/dev/full")
try:
    for index in range(100):
        sink.write(Result(Frame(np.full((48, 64, 3), index, np.uint8), index, 0.0, pts_s=index / 25)))
except SinkError as error:
    print(error)
sink.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.mp4 could not be written" in done.stdout
    assert "No space left on device" in done.stdout


def test_after_a_kill_all_segments_play_the_last_up_to_its_last_second(tmp_path: Path) -> None:
    script = f"""
import signal
import numpy as np
from edgeseg.types import Frame, Result
from edgeseg.video.segmented_sink import SegmentedMp4Sink
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
    command = [sys.executable, "-m", "edgeseg", "run", "synthetic:?frames=100000&size=64x48&fps=25", "--jsonl", "-"]
    command += ["--save", str(tmp_path / "clip-%d.mp4"), "--segment-secs", "4", "--model", str(tiny_onnx)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            for _ in range(360):  # into the fourth segment, or a few frames less far
                assert json.loads(process.stdout.readline())["schema"] == 1
        finally:
            process.kill()
    segments = sorted(tmp_path.glob("[!.]*"), key=lambda path: int(path.stem.removeprefix("clip-")))
    *finished, _finishing, _begun = segments
    assert len(finished) >= 2
    assert [len(_times_s(path)) for path in finished] == [100] * len(finished)
    assert len(_times_s(segments[-2])) >= 50


def test_what_a_kill_left_half_done_goes_with_the_next_run(tmp_path: Path) -> None:
    _write(SegmentedMp4Sink(tmp_path / "%d.mp4", seconds=1), [0.0])
    part_of(tmp_path / "0.mp4").write_bytes(b"half")
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
