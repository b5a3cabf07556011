"""``python -m edgeseg``: the same as the ``edgeseg`` command."""

from __future__ import annotations

from edgeseg.cli import main

main()
