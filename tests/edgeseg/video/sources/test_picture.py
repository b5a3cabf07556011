"""Colours and orientation of decoded pictures, against the truth that they were made of."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.errors import SourceError
from edgeseg.video.sources.file import FileSource
from edgeseg.video.sources.registry import open_source
from edgeseg.video.sources.stdin import StdinSource

pytestmark = pytest.mark.any_python

BARS = np.array(
    [
        *([255, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0], [255, 0, 255], [255, 0, 0], [0, 0, 255]),
        *([0, 0, 0], [120, 60, 200], [200, 150, 90]),
    ]
)
"""RGB of the bars, from left to right."""

BT709, UNTAGGED, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020 = 1, 2, 4, 5, 6, 7, 9
LUMA = {  # of red and blue, by the standards themselves
    BT709: (0.2126, 0.0722),
    FCC: (0.30, 0.11),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}
LOSSLESS = {"qp": "0"}


def _yuv(matrix: int, full: bool, bits: int) -> list[NDArray[np.float64]]:
    of_red, of_blue = LUMA[matrix]
    red, green, blue = (BARS / 255).T
    y = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    u, v = (blue - y) / (2 * (1 - of_blue)), (red - y) / (2 * (1 - of_red))
    if full:
        top = (1 << bits) - 1
        planes = [y * top, u * top + (1 << bits - 1), v * top + (1 << bits - 1)]
    else:
        step = 1 << bits - 8
        planes = [(219 * y + 16) * step, (224 * u + 128) * step, (224 * v + 128) * step]
    return [np.clip(np.round(plane), 0, (1 << bits) - 1) for plane in planes]


def _picture(pixel_format: str, size: tuple[int, int], matrix: int, full: bool) -> av.VideoFrame:
    """Bars whose numbers are calculated here, so that no converter of FFmpeg's has a part in the truth."""
    height, width = size
    picture = av.VideoFrame(width, height, pixel_format)
    bits = 10 if "10" in pixel_format else 8
    dtype = np.uint16 if bits > 8 else np.uint8
    values = [*_yuv(matrix, full, bits), np.full(len(BARS), 255.0)]
    for plane, bars in zip(picture.planes, values, strict=False):
        rows = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        rows[:, : plane.width] = bars[np.arange(plane.width) * len(BARS) // plane.width]
        plane.update(rows.tobytes())
    return picture


def _encode(path: Path, pictures: list[av.VideoFrame], codec: str, options: dict[str, str], **tags: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, pictures[0].format.name
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for index, picture in enumerate(pictures):
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _error(rgb_u8: NDArray[np.uint8]) -> int:
    height, width, _ = rgb_u8.shape
    middles = ((np.arange(len(BARS)) + 0.5) * width / len(BARS)).astype(int)
    return int(np.abs(rgb_u8[height // 2, middles].astype(int) - BARS).max())


@pytest.mark.parametrize(
    ("size", "meant"),
    [
        ((480, 640), BT470BG),
        ((576, 1024), BT470BG),
        ((718, 1278), BT470BG),
        ((720, 1280), BT709),
        ((544, 1280), BT709),
        ((720, 960), BT709),
        ((1280, 720), BT709),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_untagged_video_is_taken_as_players_take_it(
    tmp_path: Path, size: tuple[int, int], meant: int, full: bool
) -> None:
    picture = _picture("yuvj420p" if full else "yuv420p", size, meant, full)
    path = _encode(tmp_path / "bars.mp4", [picture], "libx264", LOSSLESS)
    assert _error(next(iter(open_source(path))).rgb_u8) <= 3


@pytest.mark.parametrize("matrix", list(LUMA))
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le", "yuva420p"])
def test_tags_are_kept_to(tmp_path: Path, matrix: int, full: bool, pixel_format: str) -> None:
    size = (480, 640) if matrix == BT709 else (720, 1280)  # where the other would be the guess
    picture = _picture(pixel_format, size, matrix, full)
    picture.colorspace, picture.color_range = matrix, 2 if full else 1
    path = _encode(tmp_path / "bars.mkv", [picture], "ffv1", {}, colorspace=matrix, color_range=picture.color_range)
    assert _error(next(iter(open_source(path))).rgb_u8) <= 3


def test_bt2020_primaries_tell_the_matrix_where_it_is_not_told(tmp_path: Path) -> None:
    picture = _picture("yuv420p", (480, 640), BT2020, False)
    picture.color_primaries = 9
    path = _encode(tmp_path / "bars.mp4", [picture], "libx264", LOSSLESS, color_primaries=9)
    assert _error(next(iter(open_source(path))).rgb_u8) <= 3


def test_a_file_whose_tag_changes_midway(tmp_path: Path) -> None:
    parts = []
    for matrix in (BT709, SMPTE170M):
        pictures = [_picture("yuv420p", (480, 640), matrix, False) for _ in range(3)]
        part = _encode(
            tmp_path / f"{matrix}.ts", pictures, "libx264", LOSSLESS | {"tune": "zerolatency"}, colorspace=matrix
        )
        parts.append(part.read_bytes())
    (tmp_path / "two.ts").write_bytes(b"".join(parts))
    frames = list(open_source(tmp_path / "two.ts"))
    assert len(frames) == 6
    assert all(_error(frame.rgb_u8) <= 3 for frame in frames)


@pytest.mark.parametrize(("codec", "pixel_format"), [("libx264rgb", "bgr24"), ("png", "rgb24"), ("ffv1", "bgra")])
def test_rgb_stays_as_it_is(tmp_path: Path, codec: str, pixel_format: str) -> None:
    bars = np.ascontiguousarray(np.broadcast_to(BARS.repeat(128, 0).astype(np.uint8), (720, 1280, 3)))
    picture = av.VideoFrame.from_ndarray(bars, "rgb24").reformat(format=pixel_format)
    path = _encode(
        tmp_path / f"bars.{'mov' if codec == 'png' else 'mkv'}",
        [picture],
        codec,
        LOSSLESS if codec == "libx264rgb" else {},
    )
    assert _error(next(iter(open_source(path))).rgb_u8) == 0


@pytest.mark.parametrize(
    ("tag", "shown"), [(0, [0, 16, 126, 235, 255]), (2, [0, 16, 126, 235, 255]), (1, [0, 0, 128, 255, 255])]
)
@pytest.mark.parametrize("pixel_format", ["gray", "gray10le"])
def test_grey_is_full_range_unless_it_is_tagged(tmp_path: Path, pixel_format: str, tag: int, shown: list[int]) -> None:
    grey = np.array([0, 16, 126, 235, 255], np.uint8).repeat(16)[None].repeat(48, 0)
    if pixel_format == "gray":
        picture = av.VideoFrame.from_ndarray(grey, "gray")
    else:
        picture = av.VideoFrame.from_ndarray(grey.astype(np.uint16) * 4, "gray10le")
    picture.color_range = tag
    path = _encode(tmp_path / "grey.mkv", [picture], "ffv1", {}, color_range=tag)
    frame = next(iter(open_source(path)))
    np.testing.assert_allclose(frame.rgb_u8[24, 8::16], np.array(shown)[:, None].repeat(3, 1), atol=1)


def test_raw_frames_on_standard_input_go_the_same_way(tmp_path: Path) -> None:
    picture = _picture("yuv420p", (720, 1280), BT709, False)
    (tmp_path / "bars.yuv").write_bytes(picture.to_ndarray().tobytes())
    with (tmp_path / "bars.yuv").open("rb") as file:
        frame = next(StdinSource("stdin:?size=1280x720&format=yuv420p", file.fileno()))
    assert _error(frame.rgb_u8) <= 3


def test_colours_that_would_come_out_wrong_are_refused(tmp_path: Path) -> None:
    picture = _picture("yuv444p", (48, 64), BT709, True)
    path = _encode(tmp_path / "ycgco.mp4", [picture], "libx264", LOSSLESS, colorspace=8)
    with pytest.raises(SourceError, match=r"ycgco\.mp4: the pictures are coded in YCgCo"):
        next(iter(open_source(path)))


def _with_matrix(path: Path, a: int, b: int, c: int, d: int, to: Path) -> Path:
    """The MP4 with another display matrix in its track header: x' = a x + c y, y' = b x + d y."""
    content = bytearray(path.read_bytes())
    unity = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    start = content.index(unity, content.index(b"tkhd"))
    content[start : start + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    to.write_bytes(content)
    return to


ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((ONE, 0, 0, ONE), lambda upright: upright),
        ((-ONE, 0, 0, ONE), lambda upright: upright[:, ::-1]),
        ((ONE, 0, 0, -ONE), lambda upright: upright[::-1]),
        ((-ONE, 0, 0, -ONE), lambda upright: upright[::-1, ::-1]),
        ((0, ONE, ONE, 0), lambda upright: upright.transpose(1, 0, 2)),
        ((0, -ONE, -ONE, 0), lambda upright: upright[::-1, ::-1].transpose(1, 0, 2)),
        ((0, ONE, -ONE, 0), lambda upright: np.rot90(upright, -1)),
        ((0, -ONE, ONE, 0), np.rot90),
        # Angles between: 20 degrees clockwise is nearest to none, 70 to a quarter.
        ((61584, 22415, -22415, 61584), lambda upright: upright),
        ((22415, 61584, -61584, 22415), lambda upright: np.rot90(upright, -1)),
    ],
)
def test_all_display_matrices(tmp_path: Path, write_video: Any, matrix: tuple[int, int, int, int], shown: Any) -> None:
    path = write_video("upright.mp4", frames=1)
    upright = next(iter(FileSource(path))).rgb_u8
    source = FileSource(_with_matrix(path, *matrix, tmp_path / "other.mp4"))
    turned = next(iter(source)).rgb_u8
    np.testing.assert_array_equal(turned, shown(upright))
    assert (source.info.height, source.info.width) == turned.shape[:2]


@pytest.mark.parametrize(("quarter", "aspect"), [(False, Fraction(16, 11)), (True, Fraction(11, 16))])
def test_anamorphic_pixels_are_told_with_the_frame(tmp_path: Path, quarter: bool, aspect: Fraction) -> None:
    picture = _picture("yuv420p", (576, 720), BT470BG, False)
    path = _encode(tmp_path / "wide.mp4", [picture], "libx264", LOSSLESS, sample_aspect_ratio=Fraction(16, 11))
    if quarter:
        # The track header holds the size as it is shown; the matrix alone is changed.
        path = _with_matrix(path, 0, ONE, -ONE, 0, tmp_path / "turned.mp4")
    frame = next(iter(FileSource(path)))
    assert frame.size == ((720, 576) if quarter else (576, 720))
    assert frame.pixel_aspect == aspect
