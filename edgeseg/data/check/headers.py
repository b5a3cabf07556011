"""What the headers of a picture and of its label say of each other: their sizes, and how EXIF turns them."""

from __future__ import annotations

from edgeseg.data.check.findings import Finding
from edgeseg.data.formats.base import FileLabels
from edgeseg.data.image_files import LABEL_SUFFIXES
from edgeseg.data.picture_header import SIDEWAYS, Header
from edgeseg.data.pictures import read_picture_header
from edgeseg.data.samples import Sample

_SAVE_UPRIGHT = "Save both upright, without EXIF's orientation"

Size = tuple[int, int]


def label_header(sample: Sample) -> Header | None:
    """The header of a sample's label; None where that is no picture of its own: in a file for many, or of a plugged-in
    format.

    Raises:
        DatasetError: the file cannot be read.
    """
    if not isinstance(sample.labels, FileLabels) or sample.label.suffix.lower() not in LABEL_SUFFIXES:
        return None
    return read_picture_header(sample.label)


def compared(sample: Sample, image: Header, label: Header) -> Finding | None:
    """What is wrong between a picture and its label, as far as their headers tell.

    Args:
        sample: both.
        image, label: their headers.
    """
    sizes = image.upright_size, label.upright_size
    if image.size is None or label.size is None or sizes[0] is None or sizes[1] is None:
        return None
    if image.orientation != label.orientation and (finding := _of_turns(sample, image, label)):
        return finding
    if sizes[0] == sizes[1]:
        return None
    if image.orientation == label.orientation >= SIDEWAYS and image.size[::-1] == label.size:
        what = f"EXIF turns both {sample.image} and its label {sample.label}, which was upright already"
        return Finding("exif-orientation", "error", what, _SAVE_UPRIGHT, (sample.image, sample.label))
    return sizes_differ(sample, sizes[0], sizes[1])


def sizes_differ(sample: Sample, image: Size, label: Size) -> Finding:
    """That a picture and its label are not of one size."""
    what = f"{sample.image} is {in_words(image)} but its label {sample.label} is {in_words(label)}"
    return Finding("size-mismatch", "error", what, "Make both the same size", (sample.image, sample.label))


def in_words(size: Size) -> str:
    """Width and height, as people write them."""
    return f"{size[1]}x{size[0]}"


def _of_turns(sample: Sample, image: Header, label: Header) -> Finding | None:
    """EXIF turns one and not the other, or both otherwise."""
    assert image.size is not None
    files = (sample.image, sample.label)
    one, other = files if image.orientation != 1 else files[::-1]
    if 1 in (image.orientation, label.orientation):
        what = f"EXIF turns {one} but not {other}"
    else:
        what = f"EXIF turns {one} otherwise than its label {other}"
    square = image.size[0] == image.size[1]
    if image.upright_size == label.upright_size:
        if not square and (image.orientation >= SIDEWAYS) != (label.orientation >= SIDEWAYS):
            return None  # the sizes show that what is not turned was drawn upright
        # Upside down or mirrored: a label drawn upon the picture as it is shown is right, one upon the stored is not.
        what += ", and their sizes do not show whether they fit"
        return Finding("exif-orientation", "warning", what, _SAVE_UPRIGHT, files)
    if image.size == label.size:
        return Finding("exif-orientation", "error", f"{what}, and they fit as they are stored", _SAVE_UPRIGHT, files)
    return None
