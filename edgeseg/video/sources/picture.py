"""A decoded picture as an array: its colours as a player shows them, and upright."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange

from edgeseg.errors import SourceError
from edgeseg.types import ImageU8

_RGB, _BT709, _UNTAGGED, _RESERVED, _FCC, _BT470BG = 0, 1, 2, 3, 4, 5  # as FFmpeg counts matrices: AVCOL_SPC_*
_SMPTE170M, _SMPTE240M, _YCGCO, _BT2020, _BT2020_CL = 6, 7, 8, 9, 10
_MATRICES = {
    **{tag: tag for tag in (_BT709, _FCC, _SMPTE240M, _BT2020)},
    **dict.fromkeys((_BT470BG, _SMPTE170M), _BT470BG),  # of these two the matrix is the same
    _BT2020_CL: _BT2020,  # nearly the same, and not found in files
}
"""Which of those that the converter knows each tag stands for."""
_BT2020_PRIMARIES = 9
_HD_WIDTH, _HD_HEIGHT = 1280, 720
_EXPANDED = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
"""Full range for limited, of grey, which FFmpeg takes for full range whatever it is tagged."""


class Orientation(NamedTuple):
    """How a picture is to be shown: first transposed, then mirrored.

    Attributes:
        transposed: rows become columns.
        flips_columns: left and right change places.
        flips_rows: top and bottom change places.
    """

    transposed: bool = False
    flips_columns: bool = False
    flips_rows: bool = False


def to_rgb(picture: av.VideoFrame) -> ImageU8:
    """(H, W, 3) uint8 RGB of its own memory, turned and mirrored as the stream says it is to be shown.

    YUV is taken by the matrix and range that the picture is tagged with. Untagged it is BT.709 from 1280 columns or
    720 rows on and BT.601 below, as players take it (BT.2020 where its primaries are), in limited range; grey untagged
    is full range. Transparency is ignored, and the curves of HDR (PQ, HLG) are left as they are.

    Raises:
        SourceError: coded as YCgCo or ICtCp, whose colours would come out wrong.
    """
    name = picture.format.name
    if name.startswith(("gray", "ya")):
        rgb_u8 = _converted(picture)
        if picture.color_range == ColorRange.MPEG:
            rgb_u8 = _EXPANDED[rgb_u8]
    elif picture.format.is_rgb or name.startswith(("pal", "mono", "bayer", "xyz")):
        rgb_u8 = _converted(picture)
    else:
        is_full = name.startswith("yuvj") or picture.color_range == ColorRange.JPEG
        picture.colorspace = _matrix(picture)
        rgb_u8 = _converted(picture, src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG)
    return np.ascontiguousarray(_upright(rgb_u8, orientation_of(picture)))


def _converted(picture: av.VideoFrame, **colours: int) -> ImageU8:
    return np.asarray(picture.reformat(format="rgb24", **colours).to_ndarray(), dtype=np.uint8)


def _matrix(picture: av.VideoFrame) -> int:
    tag = int(picture.colorspace)
    if tag in _MATRICES:
        return _MATRICES[tag]
    if tag not in (_RGB, _UNTAGGED, _RESERVED):
        kind = "YCgCo" if tag == _YCGCO else f"the colour matrix {tag} of FFmpeg's"
        raise SourceError(f"the pictures are coded in {kind}", "Convert the video: ffmpeg -i VIDEO -pix_fmt yuv420p …")
    if getattr(picture, "color_primaries", None) == _BT2020_PRIMARIES:
        return _BT2020
    is_hd = picture.width >= _HD_WIDTH or picture.height >= _HD_HEIGHT
    return _BT709 if is_hd else _BT470BG


def orientation_of(picture: av.VideoFrame) -> Orientation:
    """What the display matrix says; angles between the right ones are rounded to the nearest of these."""
    try:
        matrix = cast("Any", picture.side_data).get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # PyAV meets a kind of side data that it does not know, as EXIF in Motion JPEG: no mirrors there
        return _BY_QUARTERS[round(picture.rotation / 90) % 4]
    if matrix is None:
        return Orientation()
    x_of_x, y_of_x, _, x_of_y, y_of_y = np.frombuffer(matrix, dtype=np.int32)[:5].tolist()
    if abs(x_of_x) + abs(y_of_y) >= abs(y_of_x) + abs(x_of_y):
        return Orientation(False, flips_columns=x_of_x < 0, flips_rows=y_of_y < 0)
    return Orientation(True, flips_columns=x_of_y < 0, flips_rows=y_of_x < 0)


def upright_aspect(pixel_aspect: Fraction, picture: av.VideoFrame) -> Fraction:
    """How wide a pixel is for its height once the picture is upright."""
    return 1 / pixel_aspect if pixel_aspect != 1 and orientation_of(picture).transposed else pixel_aspect


def frame_s(picture: av.VideoFrame, fps: float | None) -> float:
    """How many seconds a picture lasts, by itself or by the rate of its stream."""
    if picture.duration and picture.time_base is not None:
        return float(picture.duration * picture.time_base)
    return 1 / fps if fps else 0.04


_BY_QUARTERS = (
    Orientation(),
    Orientation(True, flips_rows=True),  # a quarter anticlockwise
    Orientation(False, flips_columns=True, flips_rows=True),
    Orientation(True, flips_columns=True),
)


def _upright(rgb_u8: ImageU8, orientation: Orientation) -> ImageU8:
    if orientation.transposed:
        rgb_u8 = rgb_u8.transpose(1, 0, 2)
    if orientation.flips_rows:
        rgb_u8 = rgb_u8[::-1]
    return rgb_u8[:, ::-1] if orientation.flips_columns else rgb_u8
