"""One look at a picture and its labels: everything that is wanted of the files, while they are open."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.check.findings import Finding, of_error
from edgeseg.data.check.headers import Size, compared, label_header, sizes_differ
from edgeseg.data.check.label_faults import blended, diagnosed
from edgeseg.data.check.likeness import THUMB_PX, Thumb, thumb_of
from edgeseg.data.dataset import count_values
from edgeseg.data.picture_header import Header
from edgeseg.data.pictures import decode_picture, read_picture_header
from edgeseg.data.samples import Sample
from edgeseg.errors import DatasetError, EdgesegError
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8


@dataclass(frozen=True, eq=False)
class Look:
    """What is remembered of a picture and its labels: about two kilobytes, and no picture.

    Attributes:
        sample: which.
        size: (height, width) of the picture; None where it cannot be read.
        digest: of the picture's bytes; empty where they cannot be read.
        thumb: the picture, very small and grey; None where it cannot be read.
        label_digest: of the labels; empty where they cannot be read.
        values: the class indices that occur in the labels, with 255 where there is no label.
        findings: what is wrong.
    """

    sample: Sample
    size: Size | None = None
    digest: bytes = b""
    thumb: Thumb | None = None
    label_digest: bytes = b""
    values: tuple[int, ...] = ()
    findings: list[Finding] = field(default_factory=list)


def look_at(sample: Sample, bit_depth: int | None) -> tuple[Look, NDArray[np.int64]]:
    """Read a picture and its labels.

    Args:
        sample: both.
        bit_depth: of pictures with more than 8 bits, where it is known.

    Returns:
        what is remembered, and (256,) pixels of each value in the labels.
    """
    findings: list[Finding] = []
    header, size, digest, thumb = None, None, b"", None
    try:
        header = read_picture_header(sample.image)
        digest = hashlib.blake2b(header.data, digest_size=16).digest()
        picture = decode_picture(header, sample.image, least_px=4 * THUMB_PX, bit_depth=bit_depth)
        # What was decoded at a part of its size has its own in the header.
        height, width = header.upright_size or picture.shape[:2]
        size, thumb = (height, width), thumb_of(picture)
    except EdgesegError as error:
        findings.append(of_error("unreadable", error, sample.image))
    labels = None
    counts = np.zeros(IGNORE + 1, dtype=np.int64)
    try:
        labels = sample.read_labels()
        counts = count_values(labels)
    except EdgesegError as error:
        findings.append(diagnosed(sample, error))
    if labels is not None:
        findings += _of_both(sample, header, size, labels)
    label_digest = b"" if labels is None else hashlib.blake2b(labels.tobytes(), digest_size=16).digest()
    values = tuple(int(value) for value in np.flatnonzero(counts))
    return Look(sample, size, digest, thumb, label_digest, values, findings), counts


def _of_both(sample: Sample, header: Header | None, size: Size | None, labels: LabelsU8) -> list[Finding]:
    found: list[Finding | None] = [blended(sample, labels)]
    own = None
    if header is not None and sample.label.exists():
        try:
            own = label_header(sample)
        except DatasetError:  # gone since it was read
            own = None
    at_odds = compared(sample, header, own) if header is not None and own is not None else None
    height, width = labels.shape
    if at_odds is None and size is not None and size != (height, width):
        at_odds = sizes_differ(sample, size, (height, width))
    return [finding for finding in (*found, at_odds) if finding is not None]
