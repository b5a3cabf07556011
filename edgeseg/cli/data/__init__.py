"""``edgeseg data``: verbs about data sets, one a file, as those of ``edgeseg`` itself."""

from __future__ import annotations

VERBS = ("check", "convert")

EXAMPLES = """
edgeseg data check my_data
edgeseg data convert voc my_data
"""


def data() -> None:
    """Work on data sets: check, convert."""
