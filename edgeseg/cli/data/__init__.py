"""``edgeseg data``: verbs about data sets, one a file, as those of ``edgeseg`` itself."""

from __future__ import annotations

VERBS = ("check", "convert", "predict")

EXAMPLES = """
edgeseg data check my_data
edgeseg data convert voc my_data
edgeseg data predict model.onnx --data my_data --output teacher
"""


def data() -> None:
    """Work on data sets: check, convert, predict."""
