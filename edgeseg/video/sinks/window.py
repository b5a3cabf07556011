"""A window on the desktop, through OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from edgeseg.errors import SinkError
from edgeseg.run_config import RunConfig
from edgeseg.settings import SettingError
from edgeseg.types import ImageU8, Result
from edgeseg.video.draw.legend import draw_status
from edgeseg.video.sinks.base import SinkClosed
from edgeseg.video.sinks.per_stream import Streams
from edgeseg.video.status import StreamStatus

_ESCAPE = 27
_STILL_S = 1.0
_POLL_MS = 20


class WindowSink:
    """Shows the overlay, or the plain frames where no stage made one; q, Esc or closing the window ends the run.

    Several streams have a window each. While nothing comes the windows still answer; that of a lost stream goes on to
    show its last picture, greyed, and says that it is lost.

    Args:
        paced: show frames no faster than their presentation times tell, and stills for a second; for files, which
            come as fast as they are processed. Live sources pace themselves.
        title: the window's.

    Raises:
        SinkError: there is no display, or PyAV was imported before OpenCV.
    """

    shows_overlay = True

    def __init__(self, *, paced: bool, title: str = "edgeseg") -> None:
        if not display_works():
            raise SinkError(
                "no window can be opened: there is no display here",
                "Save the result as a video, or serve the page, and look at that",
            )
        if _has_libraries_of_av():
            raise SinkError(
                "no window can be opened: PyAV was imported before OpenCV, whose windows hang with its libraries",
                "Import edgeseg.video, or cv2, before av",
            )
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # OpenCV's Qt misses its fonts, and says so
        self._paced = paced
        self._title = title
        self._last_rgb_u8: dict[str, ImageU8] = {}  # of each stream's window
        self._lost: set[str] = set()
        self._due_s = 0.0
        self._last_pts_s: float | None = None

    def write(self, result: Result) -> None:
        """Show one picture; waits for its time where the window is paced.

        Raises:
            SinkClosed: the person closed the window, or pressed q or Esc.
        """
        rgb_u8 = result.frame.rgb_u8 if result.overlay_rgb_u8 is None else result.overlay_rgb_u8
        title = self._title_of(result.stream)
        if result.stream not in self._last_rgb_u8:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            cv2.resizeWindow(title, rgb_u8.shape[1], rgb_u8.shape[0])
        elif not self._is_visible(title):
            raise SinkClosed  # imshow would open it again
        self._last_rgb_u8[result.stream] = rgb_u8
        self._lost.discard(result.stream)
        cv2.imshow(title, cv2.cvtColor(rgb_u8, cv2.COLOR_RGB2BGR))
        self._due_s = self._leave_at(result.frame.pts_s)
        while True:
            left_ms = int((self._due_s - time.monotonic()) * 1000)
            # Short waits: a signal's handler runs only between them.
            self._answer(max(1, min(left_ms, _POLL_MS)))
            if left_ms <= _POLL_MS:
                return

    def idle(self, status: Sequence[StreamStatus]) -> None:
        """Answer the desktop, and show which streams are lost.

        Raises:
            SinkClosed: the person closed the window, or pressed q or Esc.
        """
        if not self._last_rgb_u8:
            return
        for stream in status:
            picture = self._last_rgb_u8.get(stream.stream)
            if picture is not None and stream.state.condition == "lost" and stream.stream not in self._lost:
                self._lost.add(stream.stream)
                cv2.imshow(self._title_of(stream.stream), _as_lost(picture))
        self._answer(1)

    def _answer(self, wait_ms: int) -> None:
        key = cv2.waitKey(wait_ms) & 0xFF
        if key in (_ESCAPE, ord("q")) or not all(map(self._is_visible, map(self._title_of, self._last_rgb_u8))):
            raise SinkClosed

    def _title_of(self, stream: str) -> str:
        return f"{self._title} {stream}".strip()

    def _is_visible(self, title: str) -> bool:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1

    def _leave_at(self, pts_s: float | None) -> float:
        """The monotonic time until which the picture just shown should stay."""
        now_s = time.monotonic()
        last_pts_s, self._last_pts_s = self._last_pts_s, pts_s
        if not self._paced:
            return now_s
        if pts_s is None:
            return now_s + _STILL_S
        return now_s if last_pts_s is None else max(self._due_s + pts_s - last_pts_s, now_s)

    def close(self) -> None:
        """Close the window. Calling it twice is harmless."""
        if self._last_rgb_u8:
            self._last_rgb_u8.clear()
            cv2.destroyAllWindows()


def of_run(config: RunConfig, streams: Streams) -> WindowSink | None:
    """The window of a run; where nobody has said, there is one if the desktop has room for it."""
    if config.show is None and not (streams.are_open and display_works()):
        return None
    if not streams.are_open:
        if not display_works():
            raise SettingError(
                "no window can be opened: there is no display here",
                "Leave out {show}, and look at the result with {save} out.mp4",
            )
        return None
    live = any(info.live for info in streams.infos.values() if info is not None)
    return WindowSink(paced=len(streams.infos) == 1 and not live)


def _as_lost(picture: ImageU8) -> ImageU8:
    """BGR for OpenCV: grey, and it says so."""
    grey = np.repeat(picture.mean(axis=2, keepdims=True) / 2, 3, axis=2).astype(np.uint8)
    draw_status(grey, "LOST: waiting for the source")
    return grey


def _has_libraries_of_av() -> bool:
    """Whether the parts of libxcb in this process are PyAV's.

    The wheels of OpenCV and PyAV bring them under the same names, so that those of whichever is imported first are
    used by both. PyAV's are bound to a libxcb of their own: with them a window waits for ever for answers that come to
    the other one.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: no libxcb
        return False
    folders = {Path(line).parent.name for line in maps.splitlines() if "/libxcb-" in line}
    return "av.libs" in folders and not any(folder.startswith("opencv") for folder in folders)


@cache
def display_works() -> bool:
    """Whether a window can be opened here; tried in a process of its own, since Qt aborts the one where it fails."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    # Isolated, and with the packages of this process alone: a cv2.py in the current folder is nobody's OpenCV.
    folders = {str(Path(str(module.__file__)).parents[1]) for module in (cv2, np)}
    script = f"import sys; sys.path[:0] = {sorted(folders)!r}; import cv2; cv2.namedWindow('edgeseg')"
    attempt = [sys.executable, "-I", "-c", f"{script}; cv2.destroyAllWindows()"]
    try:
        return subprocess.run(attempt, capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
