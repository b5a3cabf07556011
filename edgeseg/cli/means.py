"""Over which classes a mean was taken, said wherever it was not all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.metrics import ConfusionMatrix

_MOST_NAMED = 8


def unsaid(side: str, confusion: ConfusionMatrix, class_names: Sequence[str]) -> str:
    """A sentence on the classes that mIoU leaves out, for no pixel is labelled or predicted so; empty where none is.

    Args:
        side: what was measured, in words, such as ``B``.
        confusion: of it.
        class_names: of the classes, in order.
    """
    missing = [name for name, iou in zip(class_names, confusion.iou(), strict=True) if math.isnan(iou)]
    if not missing:
        return ""
    named = ", ".join(missing[:_MOST_NAMED]) + (", ..." if len(missing) > _MOST_NAMED else "")
    counted = len(class_names) - len(missing)
    return f"{side}: mIoU is the mean of {counted} of {len(class_names)} classes; no pixel of or as {named}"
