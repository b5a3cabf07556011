"""Video files: every frame, true times, and one clear line for each way a file can be bad."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.sources.base import Source
from edgeseg.video.sources.file import FileSource
from edgeseg.video.sources.registry import open_source


def _read_until_error(source: Source) -> tuple[list[Frame], SourceError]:
    frames = []
    with pytest.raises(SourceError) as caught:  # noqa: PT012 - the frames before the error are half of the test
        for frame in source:
            frames.append(frame)
    return frames, caught.value


def test_presentation_times_are_those_of_the_file(write_video: Callable[..., Path]) -> None:
    times_s = [0.0, 0.04, 0.2, 0.21, 0.9, 1.0]
    read_s = [frame.pts_s for frame in FileSource(write_video("uneven.mp4", times_s))]
    assert read_s == pytest.approx(times_s, abs=1e-3)


def test_every_frame_of_mp4_mkv_and_avi(write_video: Callable[..., Path]) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi"):
        assert len(list(open_source(write_video(name)))) == 20


def test_a_sideways_video_is_turned_upright(write_video: Callable[..., Path]) -> None:
    lying = next(iter(FileSource(write_video("lying.mp4", frames=1)))).rgb_u8
    source = FileSource(write_video("turned.mp4", frames=1, rotation=90))
    turned = next(iter(source)).rgb_u8
    assert (source.info.width, source.info.height) == (48, 64)
    np.testing.assert_array_equal(turned, np.rot90(lying))


def test_a_file_cut_short_gives_its_good_frames_and_then_says_so(write_video: Callable[..., Path]) -> None:
    for name in ("cut.mp4", "cut.avi", "cut.mkv"):
        path = write_video(name, frames=90)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        frames, error = _read_until_error(FileSource(path))
        assert 12 < len(frames) < 90
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert name in str(error)
        assert f"after {len(frames)}{' of 90' if name == 'cut.mp4' else ''} frames" in str(error)


def test_an_mp4_without_its_index_is_refused_at_once(write_video: Callable[..., Path]) -> None:
    path = write_video("headless.mp4", faststart=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(SourceError, match=r"headless\.mp4 is not a video, or is damaged"):
        FileSource(path)


@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 100, bytes(5000)])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"notes\.mp4"):
        open_source(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*nothing\.mp4"):
        open_source(tmp_path / "nothing.mp4")


def test_two_videos_joined_go_on_in_time(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    parts = [write_video(f"{name}.ts", frames=25).read_bytes() for name in "ab"]
    (tmp_path / "two.ts").write_bytes(b"".join(parts))
    times_s = [frame.pts_s for frame in FileSource(tmp_path / "two.ts")]
    steps_s = [later - earlier for earlier, later in pairwise(times_s)]  # type: ignore[operator]
    assert len(times_s) == 50
    assert steps_s == pytest.approx([0.04] * 49, abs=2e-3)


def test_what_holds_no_video_says_so(tmp_path: Path) -> None:
    for name, codec in (("sound.mp4", "aac"), ("sound.wav", "pcm_s16le"), ("sound.mp3", "libmp3lame")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=44100)
            samples = av.AudioFrame.from_ndarray(
                np.zeros((1, 8820), np.int16 if codec != "aac" else np.float32),
                format="fltp" if codec == "aac" else "s16",
                layout="mono",
            )
            samples.sample_rate = 44100
            container.mux(stream.encode(samples))
            container.mux(stream.encode(None))
        with pytest.raises(SourceError, match=rf"{name} holds no video stream"):
            open_source(tmp_path / name)


def test_damaged_in_every_way_it_is_one_line(write_video: Callable[..., Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("a.mp4", "a.mkv", "a.avi", "a.ts"):
        content = np.frombuffer(write_video(name, frames=8).read_bytes(), np.uint8)
        for trial in range(25):
            damaged = content.copy()
            places = rng.integers(0, len(content), rng.integers(1, 200))
            damaged[places] = rng.integers(0, 256, len(places))
            path = tmp_path / f"{trial}-{name}"
            path.write_bytes(damaged[: rng.integers(1, len(content)) if trial % 3 == 0 else None].tobytes())
            try:
                list(FileSource(path))
            except SourceError as error:
                assert str(error).isprintable()  # noqa: PT017 - it may also be read


def test_real_videos_give_the_frames_they_announce(data_root: Path) -> None:
    source = open_source(data_root / "videos" / "udacity_solidWhiteRight.mp4")
    assert source.info.frame_count == sum(1 for _ in source) == 221
