"""What the browser gets as it lies here: the page, its script and its style."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parent
"""The folder of these files."""
