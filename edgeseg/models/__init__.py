"""Networks in PyTorch, one file each, and the registry of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
