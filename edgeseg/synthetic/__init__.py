"""A procedural street scene with exact labels in the CamVid classes."""

from __future__ import annotations

from edgeseg.synthetic.classes import CAMVID_COLORS, CAMVID_NAMES
from edgeseg.synthetic.street import StreetScene

__all__ = ["CAMVID_COLORS", "CAMVID_NAMES", "StreetScene"]
