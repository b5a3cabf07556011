"""OpenCV's own messages on stderr."""

from __future__ import annotations

import threading
from types import TracebackType

import cv2

_SILENT = 0


class Quiet:
    """While one of these is held OpenCV tells of no failures in its own words: ours say what to do, without secrets.

    The level is one for the whole process. It is set by the first that is held, and the last gives back what was there.
    """

    _lock = threading.RLock()
    _held = 0
    _level_before = 0

    def __init__(self) -> None:
        self._is_held = True
        with Quiet._lock:
            if Quiet._held == 0:
                Quiet._level_before = _set_level(_SILENT)
            Quiet._held += 1

    def release(self) -> None:
        """Give it back; more than once is harmless."""
        with Quiet._lock:
            if self._is_held:
                self._is_held = False
                Quiet._held -= 1
                if Quiet._held == 0:
                    _set_level(Quiet._level_before)

    def __enter__(self) -> Quiet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _set_level(level: int) -> int:
    """Set it; the level before."""
    try:
        before = int(cv2.utils.logging.getLogLevel())
        cv2.utils.logging.setLogLevel(level)
    except AttributeError:  # before OpenCV 4.10, as distributions and JetPack still bring it; it tells the level before
        before = int(getattr(cv2, "setLogLevel")(level))  # noqa: B009 - unknown to the stubs of later ones
    return before
