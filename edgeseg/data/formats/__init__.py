"""Label formats: what the pixels of a label file say, one format a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
