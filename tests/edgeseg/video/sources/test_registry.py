"""open_source: what it understands, and what it says of the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.data.dataset import LabelCoding
from edgeseg.errors import DatasetError, SourceError
from edgeseg.video.sources.labels import LabelFolder
from edgeseg.video.sources.registry import open_source


def _write_image(path: Path, height: int = 48, width: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 77, dtype=np.uint8))
    return path


def test_images_come_in_order_of_name_with_their_stems_and_own_sizes(tmp_path: Path) -> None:
    _write_image(tmp_path / "b.png", 20, 30)
    _write_image(tmp_path / "a.jpg", 40, 50)
    frames = list(open_source(tmp_path))
    assert [(frame.name, frame.size) for frame in frames] == [("a", (40, 50)), ("b", (20, 30))]


def test_a_text_file_among_the_images_is_named(tmp_path: Path) -> None:
    _write_image(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"notes\.txt, which is not an image"):
        open_source(tmp_path)
    with pytest.raises(DatasetError, match=r"notes\.txt, which is not an image"):
        open_source(f"{tmp_path}/*")
    assert len(list(open_source(f"{tmp_path}/*.png"))) == 1


def test_a_damaged_image_ends_the_run_after_the_good_ones(tmp_path: Path) -> None:
    _write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a PNG")
    iterator = iter(open_source(tmp_path))
    assert next(iterator).name == "a"
    with pytest.raises(DatasetError, match=r"b\.png is not an image"):
        next(iterator)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nothing.png", "no file matches"),
        ("nothing/*.png", "no file matches"),
        ("nothing.mp4", "camera:0, .* or synthetic:"),
        ("rtmp://host/stream", "rtmp:// is not understood"),
        ("camera:front", "does not name a camera"),
        ("camera:873", r"there is no camera /dev/video873; (there are|no /dev/video\* exists)"),
        ("synthetic:?sise=1x1", "unknown parameter 'sise'. It takes size, fps"),
        ("synthetic:?size=640", "size is '640'. Write it as size=480x360"),
        ("synthetic:?fps=0", "fps is '0'"),
        ("synthetic:?frames=-1", "frames is '-1'"),
        ("synthetic:street", "is not understood"),
    ],
)
def test_errors_say_what_and_the_remedy(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(uri)


def test_a_camera_that_is_not_there_leaves_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError):
        open_source("camera:873")
    assert capfd.readouterr().err == ""


def test_synthetic_parameters() -> None:
    source = open_source("synthetic:?size=64x48&fps=10&seed=3&frames=3")
    frames = list(source)
    assert [frame.size for frame in frames] == [(48, 64)] * 3
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert not source.info.live
    other = next(iter(open_source("synthetic:?size=64x48&seed=4")))
    assert not np.array_equal(frames[0].rgb_u8, other.rgb_u8)


def test_synthetic_live_is_endless_and_keeps_to_its_pace() -> None:
    source = open_source("synthetic:?size=64x48&fps=5&live=1")
    assert source.info.live
    assert source.info.frame_count is None
    start_s = time.monotonic()
    *_, fourth = islice(source, 4)
    assert fourth.captured_s - start_s >= 3 / 5  # it is due then; a busy machine may only be later


def _write_labels(folder: Path, names: list[str], height: int = 48, width: int = 64) -> LabelFolder:
    folder.mkdir()
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((height, width), index % 3, dtype=np.uint8))
    return LabelFolder(folder, LabelCoding(3))


def test_labels_of_images_match_by_stem(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        _write_image(tmp_path / "images" / name)
    labels = _write_labels(tmp_path / "labels", ["b.png", "a.png", "unused.png"])
    found = {frame.name: frame.labels_u8 for frame in open_source(tmp_path / "images", labels=labels)}
    assert {name: int(array[0, 0]) for name, array in found.items() if array is not None} == {"b": 0, "a": 1}


def test_labels_of_a_video_go_by_order_of_name(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    labels = _write_labels(tmp_path / "labels", [f"x{index}.png" for index in range(6)])
    frames = list(open_source(write_video("a.mp4", frames=6), labels=labels))
    assert [int(frame.labels_u8[0, 0]) for frame in frames if frame.labels_u8 is not None] == [0, 1, 2, 0, 1, 2]


def test_labels_that_do_not_fit_are_refused(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    video = write_video("a.mp4", frames=6)
    short = _write_labels(tmp_path / "short", ["x.png"])
    with pytest.raises(DatasetError, match=r"has 6 frames, but .*short holds 1 label files"):
        open_source(video, labels=short)
    # Matroska announces no number of frames: it shows on the way.
    matroska = iter(open_source(write_video("a.mkv", frames=6), labels=short))
    next(matroska)
    with pytest.raises(DatasetError, match="more frames than the 1 label files"):
        next(matroska)
    small = _write_labels(tmp_path / "small", [f"x{index}.png" for index in range(6)], 24, 32)
    with pytest.raises(DatasetError, match=r"frame 0 of .* is 64x48 but its label .*x0\.png is 32x24"):
        next(iter(open_source(video, labels=small)))
    image = _write_image(tmp_path / "images" / "street.png")
    with pytest.raises(DatasetError, match=r"1 of 1 images have no label in .*short: street\.png"):
        open_source(image, labels=short)
    with pytest.raises(DatasetError, match="cannot be matched with synthetic:"):
        open_source("synthetic:", labels=short)


def test_label_index_outside_the_classes_is_refused(tmp_path: Path) -> None:
    image = _write_image(tmp_path / "images" / "a.png")
    _write_labels(tmp_path / "labels", ["z.png", "y.png", "a.png"])
    labels = LabelFolder(tmp_path / "labels", LabelCoding(2))
    with pytest.raises(DatasetError, match=r"a\.png holds label index 2, but the classes are 0\.\.1"):
        next(iter(open_source(image, labels=labels)))
