"""A window on the desktop, through OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import cache

import cv2

from edgeseg.errors import SinkError
from edgeseg.types import Result
from edgeseg.video.sink import SinkClosed

_ESCAPE = 27
_STILL_S = 1.0
_POLL_MS = 20


class WindowSink:
    """Shows the overlay, or the plain frames where no stage made one; q, Esc or closing the window ends the run.

    Args:
        paced: show frames no faster than their presentation times tell, and stills for a second; for files, which
            come as fast as they are processed. Live sources pace themselves.
        title: the window's.

    Raises:
        SinkError: there is no display.
    """

    def __init__(self, *, paced: bool, title: str = "edgeseg") -> None:
        if not display_works():
            raise SinkError(
                "no window can be opened: there is no display here",
                "Leave out --show, and look at the result with --save out.mp4",
            )
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # OpenCV's Qt misses its fonts, and says so
        self._paced = paced
        self._title = title
        self._opened = False
        self._due_s = 0.0
        self._last_pts_s: float | None = None

    def write(self, result: Result) -> None:
        """Show one picture; waits for its time where the window is paced.

        Raises:
            SinkClosed: the person closed the window, or pressed q or Esc.
        """
        rgb_u8 = result.frame.rgb_u8 if result.overlay_rgb_u8 is None else result.overlay_rgb_u8
        if not self._opened:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            cv2.resizeWindow(self._title, rgb_u8.shape[1], rgb_u8.shape[0])
            self._opened = True
        elif not self._is_visible():
            raise SinkClosed  # imshow would open it again
        cv2.imshow(self._title, cv2.cvtColor(rgb_u8, cv2.COLOR_RGB2BGR))
        self._due_s = self._leave_at(result.frame.pts_s)
        while True:
            left_ms = int((self._due_s - time.monotonic()) * 1000)
            # Short waits: a signal's handler runs only between them.
            key = cv2.waitKey(max(1, min(left_ms, _POLL_MS))) & 0xFF
            if key in (_ESCAPE, ord("q")) or not self._is_visible():
                raise SinkClosed
            if left_ms <= _POLL_MS:
                return

    def _is_visible(self) -> bool:
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

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
        if self._opened:
            self._opened = False
            cv2.destroyAllWindows()


@cache
def display_works() -> bool:
    """Whether a window can be opened here; tried in a process of its own, since Qt aborts the one where it fails."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    attempt = [sys.executable, "-c", "import cv2; cv2.namedWindow('edgeseg'); cv2.destroyAllWindows()"]
    try:
        return subprocess.run(attempt, capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
