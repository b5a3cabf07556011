"""The streaming pipeline: sources, stages, sinks, and the clock on each hop."""

from __future__ import annotations

# The wheels of OpenCV and PyAV each bring parts of libxcb. Whichever is imported first decides whose are used, and with
# PyAV's OpenCV's windows hang for ever: so OpenCV comes first, here, before any module of this package imports PyAV.
import cv2  # noqa: F401
