"""The streaming pipeline: sources, stages, sinks, and the clock on each hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

# The wheels of OpenCV and PyAV each bring parts of libxcb. Whichever is imported first decides whose are used, and with
# PyAV's OpenCV's windows hang for ever: so OpenCV comes first, here, before any module of this package imports PyAV.
import cv2  # noqa: F401

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
