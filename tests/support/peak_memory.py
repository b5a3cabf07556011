"""The most memory that a process has held. ``ru_maxrss`` will not do: a new process inherits that of its parent."""

from __future__ import annotations

PEAK_MIB = """
def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10
"""
"""Goes before code for a process of its own."""


def peak_mib() -> int:
    """Of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10
