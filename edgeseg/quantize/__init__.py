"""Static post-training quantization of an exported model to INT8: ONNX with Q/DQ pairs. Knows no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
