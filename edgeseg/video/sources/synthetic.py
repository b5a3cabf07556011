"""The rendered street scene as a source: a camera everybody has, with exact labels.

synthetic:                                  300 frames of 480x360 at 30 fps, each of them processed
synthetic:?size=640x480&fps=25&seed=1&frames=100
synthetic:?live=1                           paced like a camera, and endless unless frames is given
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.synthetic import CAMVID_NAMES, StreetScene
from edgeseg.types import Frame
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.uri import parameters, redacted

_FRAMES = 300
_LONGEST_NAP_S = 0.05  # so that close is soon noticed at any frame rate


class SyntheticSource(OnePassSource):
    """A street scene rendered frame by frame.

    Args:
        height, width: pixels.
        fps: frames per second of the scene's time.
        seed: which street.
        frames: how many; None for 300, or endless where ``live``.
        live: whether frames come at the pace of a camera, whoever is ready or not.
    """

    def __init__(
        self,
        height: int = 360,
        width: int = 480,
        *,
        fps: float = 30.0,
        seed: int = 0,
        frames: int | None = None,
        live: bool = False,
        uri: str = "synthetic:",
    ) -> None:
        self._scene = StreetScene(height=height, width=width, seed=seed)
        self._fps = fps
        self._frame_count = _FRAMES if frames is None and not live else frames
        super().__init__(StreamInfo(uri, live, width, height, fps, self._frame_count, label_names=CAMVID_NAMES))

    @classmethod
    def open(cls, uri: str) -> SyntheticSource:
        """Open ``synthetic:``, with the parameters at the top of this module.

        Raises:
            SourceError: an unknown parameter, or a value out of range.
        """
        return cls(**_arguments(uri), uri=uri)

    def _frames(self) -> Iterator[Frame]:
        indices = itertools.count() if self._frame_count is None else range(self._frame_count)
        due_s = time.monotonic()
        for index in indices:
            if self.info.live:
                while not self._closed and (wait_s := due_s - time.monotonic()) > 0:
                    time.sleep(min(wait_s, _LONGEST_NAP_S))
                due_s = max(due_s, time.monotonic() - 1 / self._fps) + 1 / self._fps  # late: no burst to catch up
            pts_s = index / self._fps
            rgb_u8, labels_u8 = self._scene.render(pts_s)
            yield Frame(rgb_u8, index, time.monotonic(), pts_s=pts_s, labels_u8=labels_u8)

    def _release(self) -> None:
        """Nothing is held."""


_PARAMETERS = {
    "size": (r"[1-9]\d{1,3}x[1-9]\d{1,3}", "size=480x360, width first"),
    "fps": (r"[1-9]\d{0,2}(\.\d+)?", "fps=30"),
    "seed": (r"\d+", "seed=1"),
    "frames": (r"[1-9]\d*", "frames=300"),
    "live": ("[01]", "live=1"),
}


def _arguments(uri: str) -> dict[str, Any]:
    """The keyword arguments that the part after ``synthetic:`` spells."""
    path, _, query = uri.partition(":")[2].partition("?")
    if path:
        raise SourceError(f"{redacted(uri)} is not understood", "Write synthetic:?size=480x360")
    arguments: dict[str, Any] = {}
    for key, value in parameters(uri, query, _PARAMETERS).items():
        if key == "size":
            arguments["width"], arguments["height"] = map(int, value.split("x"))
        elif key == "live":
            arguments["live"] = value == "1"
        else:
            arguments[key] = float(value) if key == "fps" else int(value)
    return arguments
