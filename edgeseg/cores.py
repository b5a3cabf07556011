"""What "all cores" means, everywhere: those that this process may use, by its affinity and its container's quota."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def available_cores() -> int:
    """How many there are; at least 1."""
    try:
        native: Any = import_module("edgeseg._native")
        return int(native.available_cores())
    except (ImportError, AttributeError):  # not built: affinity is the half of it that Python knows
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
