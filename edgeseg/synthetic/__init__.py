"""A procedural street scene with exact labels in the CamVid classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of
from edgeseg.synthetic.classes import CAMVID_COLORS, CAMVID_NAMES
from edgeseg.synthetic.street import StreetScene

__all__ = ["CAMVID_COLORS", "CAMVID_NAMES", "StreetScene"]

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
