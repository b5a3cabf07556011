"""``count:FILE``: how many frames there were, and how many of them were painted, in a file."""

from __future__ import annotations

from pathlib import Path

from edgeseg.types import Result


class CountSink:
    """Counts until it is closed."""

    shows_overlay = True

    def __init__(self, path: str) -> None:
        self.outputs = (Path(path),)
        self._frames = self._painted = 0

    def write(self, result: Result) -> None:
        self._frames += 1
        self._painted += result.overlay_rgb_u8 is not None

    def close(self) -> None:
        self.outputs[0].write_text(f"{self._frames} {self._painted}")
