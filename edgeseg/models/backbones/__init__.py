"""Backbones: classifiers without their head, whose features a segmentation network is built upon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
