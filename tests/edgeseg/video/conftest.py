"""Real little videos, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest

VideoWriter = Callable[..., Path]


@pytest.fixture
def write_video(tmp_path: Path) -> VideoWriter:
    """``write_video("a.mp4", times_s=…, size=(h, w), rotation=…)``: a file of coloured blocks."""

    def write(
        name: str,
        times_s: Sequence[float] | None = None,
        *,
        frames: int = 20,
        size: tuple[int, int] = (48, 64),
        rotation: int = 0,
        faststart: bool = True,
    ) -> Path:
        path = tmp_path / name
        times_s = [index / 25 for index in range(frames)] if times_s is None else times_s
        options = {"movflags": "faststart"} if faststart and path.suffix == ".mp4" else {}
        rng = np.random.default_rng(0)
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            # An AVI holds one slot per tick: at 1/1000 s most of it would be empty slots.
            time_base = Fraction(1, 25) if path.suffix == ".avi" else Fraction(1, 1000)
            stream.codec_context.time_base = time_base
            if rotation:
                stream.set_display_rotation(rotation)
            for time_s in times_s:
                blocks = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
                picture = av.VideoFrame.from_ndarray(blocks.repeat(8, 0).repeat(8, 1), format="rgb24")
                picture.pts, picture.time_base = round(time_s / time_base), time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return write
