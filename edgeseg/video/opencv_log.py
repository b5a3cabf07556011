"""OpenCV's own messages on stderr."""

from __future__ import annotations

import cv2


def silence() -> None:
    """Keep OpenCV from telling of failures in its own words: ours say what to do, and hold no credentials."""
    try:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    except AttributeError:  # before OpenCV 4.9, as distributions and JetPack still bring it
        getattr(cv2, "setLogLevel")(0)  # noqa: B009 - unknown to the stubs of later ones
