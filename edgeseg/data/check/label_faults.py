"""What is wrong with a label file: why it cannot be read, and values that smoothing has invented between classes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.check.findings import Finding, Kind, of_error
from edgeseg.data.formats.base import FileLabels, LabelCoding
from edgeseg.data.pictures import read_label_values, read_picture_header
from edgeseg.data.samples import Sample
from edgeseg.errors import EdgesegError
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

_LEAST_EDGES = 32
"""Places on edges that are looked at before a label is called anti-aliased."""

_MOST_BLENDED = 0.25
"""Labels drawn pixel by pixel have up to two in a hundred, where a narrow thing lies between two others by chance."""

_FEW_VALUES = 3
"""So many values without a class may be classes that are not named; smoothing invents more."""

_MANY_VALUES = 8
"""Loss invents at least so many."""

_NEAR = np.ones((5, 5), np.uint8)

_NO_SMOOTHING = "Save labels without smooth edges, and resize them by nearest neighbour"

_AS_PNG = "Save labels as PNG from where they were drawn; what was lost does not come back"


def diagnosed(sample: Sample, error: EdgesegError) -> Finding:
    """Why labels cannot be read: what lies behind the error that reading them raised.

    Args:
        sample: whose labels they are.
        error: what reading raised.
    """
    if not isinstance(sample.labels, FileLabels):
        return of_error("unreadable", error, sample.label)
    path, coding = sample.label, sample.labels.coding
    try:
        if read_picture_header(path).lossy:
            return of_error("jpeg-label", error, path)
        values = read_label_values(path)
        known = _known(values, coding)
    except EdgesegError:
        return of_error("unreadable", error, path)
    if known is None or known.all():
        return of_error("unreadable", error, path)
    kind, words = _kind_of_strays(values, known)
    if kind == "anti-aliased-label":
        what = f"{path} holds {words} along the edges of classes, as anti-aliasing makes them"
        return Finding(kind, "error", what, _NO_SMOOTHING, (path,))
    if kind == "jpeg-label":
        what = f"{path} holds {words}, as compression with loss makes them"
        return Finding(kind, "error", what, _AS_PNG, (path,))
    return of_error(kind, error, path)


def _known(values: NDArray[Any], coding: LabelCoding) -> NDArray[np.bool_] | None:
    """Which pixels have a class or "no label"; None of a format, or of values, that nothing can be said of here."""
    if values.dtype != np.uint8:
        return None
    if coding.format == "rgb":
        rgb = np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values
        packed = (rgb.astype(np.int32) << np.array([16, 8, 0])).sum(axis=2)
        meant = (*coding.colors, *coding.ignore_colors)
        return np.isin(packed, [0, *(r << 16 | g << 8 | b for r, g, b in meant)])
    if values.ndim == 3:
        if not (values[..., :1] == values).all():
            return None
        values = values[..., 0]
    allowed = {IGNORE} if coding.ignore_index is None else {IGNORE, coding.ignore_index}
    if coding.format == "binary":
        allowed |= {0} if coding.only_0_and_255 else {0, 1}
    elif coding.format == "index" and coding.values is not None:
        allowed |= {value for value, index in enumerate(coding.values) if index >= 0}
    elif coding.format == "index" and coding.num_classes is not None:
        allowed |= set(range(coding.num_classes))
    else:
        return None
    return np.isin(values, list(allowed))


def _kind_of_strays(values: NDArray[Any], known: NDArray[np.bool_]) -> tuple[Kind, str]:
    """What makes values without a class, and how many they are in words."""
    channels = values[..., None] if values.ndim == 2 else values
    strays = channels[~known]
    distinct = len(np.unique(strays, axis=0))
    colored = bool((channels[..., :1] != channels).any())
    words = f"{distinct} {'colours' if colored else 'values'} without a class"
    if distinct >= _FEW_VALUES:
        # Between the lowest and the highest value with a class nearby, in every channel.
        low = [cv2.erode(np.where(known, one, 255).astype(np.uint8), _NEAR) for one in np.moveaxis(channels, 2, 0)]
        high = [cv2.dilate(np.where(known, one, 0).astype(np.uint8), _NEAR) for one in np.moveaxis(channels, 2, 0)]
        lowest, highest = (np.stack(parts, axis=2)[~known] for parts in (low, high))
        between = ((strays >= lowest) & (strays <= highest)).all(axis=1)
        if between.mean() > 0.8:
            return "anti-aliased-label", words
        if distinct >= _MANY_VALUES:
            return "jpeg-label", words
    return ("unknown-colour" if colored else "unknown-index"), words


def blended(sample: Sample, labels: LabelsU8) -> Finding | None:
    """That the edges of labels hold other classes, whose numbers lie between: a label that was resized smoothly.

    Nothing is wrong with such a file but that it is false: between class 1 and class 9 lies a line of class 5.

    Args:
        sample: whose labels they are.
        labels: (H, W) uint8, 255 = no label.
    """
    across, down = _blended_edges(labels), _blended_edges(labels.T)
    places, mixed = across[0] + down[0], across[1] + down[1]
    if places < _LEAST_EDGES or mixed < _MOST_BLENDED * places:
        return None
    what = f"{sample.label} has, on {100 * mixed / places:.0f} % of its edges, a class numbered between those beside it"
    return Finding("anti-aliased-label", "error", what, _NO_SMOOTHING, (sample.label,))


def _blended_edges(labels: LabelsU8) -> tuple[int, int]:
    """Places along rows where classes two numbers apart or more meet, and those of them with a single pixel between."""
    before, here, after = labels[:, :-2], labels[:, 1:-1], labels[:, 2:]
    whole = (np.maximum(before, after) != IGNORE) & (here != IGNORE)
    mixed = whole & (((before < here) & (here < after)) | ((before > here) & (here > after)))
    apart = np.maximum(before, here) - np.minimum(before, here)
    sharp = whole & (apart >= 2) & ~mixed
    # Steps into and out of a mixed pixel are no edges of their own.
    sharp[:, 1:] &= ~mixed[:, :-1]
    return int(np.count_nonzero(mixed) + np.count_nonzero(sharp)), int(np.count_nonzero(mixed))
