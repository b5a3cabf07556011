"""What all labels and pictures of a split say together: classes that nobody drew, masks in disguise, odd sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.check.findings import Finding
from edgeseg.data.check.headers import Size, in_words
from edgeseg.data.check.look import Look
from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.base import FileLabels
from edgeseg.data.formats.binary import are_masks
from edgeseg.spec.palette import IGNORE

_LOOKED_AT = 8
"""Label files that are read again to know what the values in them were before."""

_MOST_AREA_RATIO = 4.0
"""Between a picture's pixels and those of the middle one in its split."""

_MOST_ASPECT_RATIO = 1.6
"""Between a picture's width over height and that of the middle one: training stretches all to one size."""

_LEAST_OF_INPUT = 0.25
"""Of the network's input pixels; a smaller picture is mostly made up by interpolation."""


def absent_classes(dataset: Dataset, split: str, pixels: NDArray[np.int64], *, trained_on: bool) -> Iterator[Finding]:
    """Classes without a pixel: an error in the split to train on, which then cannot learn them.

    Args:
        dataset, split: whose.
        pixels: (C,) of each class in it.
        trained_on: whether it is the split to train on.
    """
    if not pixels.any():
        what = f"no pixel of split {split} of {dataset.path} has a class"
        yield Finding("absent-class", "error", what, "Correct the labels")
    elif not pixels.all():
        listed = ", ".join(name for name, count in zip(dataset.names, pixels, strict=True) if not count)
        what = f"no pixel of split {split} of {dataset.path} has class {listed}"
        if trained_on:
            remedy = "Label some, move pictures that show it into the split, or take it out of names"
            yield Finding("absent-class", "error", what, remedy)
        else:
            yield Finding(
                "absent-class", "warning", what, "Move pictures that show it into the split, or expect no IoU"
            )


def uniform_labels(dataset: Dataset, looks: Sequence[Look]) -> Iterator[Finding]:
    """Labels that are "no label" or one class all over: often an empty file that was never drawn on."""
    for look in looks:
        if look.values == (IGNORE,):
            what = f"no pixel of {look.sample.label} has a class"
            yield Finding("nothing-labelled", "warning", what, "Label it, or leave it out", (look.sample.label,))
        elif len(look.values) == 1:
            what = f"{look.sample.label} is {dataset.names[look.values[0]]} all over"
            remedy = "Draw it, if there is more to be seen"
            yield Finding("one-class-alone", "warning", what, remedy, (look.sample.label,))


def masks_in_disguise(looks: Mapping[str, Sequence[Look]]) -> Iterator[Finding]:
    """Masks of 0 and 255 read as indices, where 255 is no class but "no label": all of them, or some among others.

    Args:
        looks: of the samples in each split.
    """
    every = [look for own in looks.values() for look in own if look.values]
    suspects = [look for look in every if look.values == (0, IGNORE)]
    others = [look for look in every if set(look.values) - {0, IGNORE}]
    if not suspects or any(IGNORE in look.values for look in others):
        return  # where labels of several classes know "no label" as well, it is what it says
    masks = [look for look in suspects[:_LOOKED_AT] if _holds_0_and_255(look)]
    if len(masks) < len(suspects[:_LOOKED_AT]):
        return
    files = tuple(look.sample.label for look in suspects)
    what = f"{files[0]} holds 0 and 255 alone, and is read as one class and 'no label'"
    if others:
        what += ", while no label with several classes has 255"
    remedy = "Write class indices, or with two classes label_format: binary; nothing if 255 does mean 'no label'"
    yield Finding("masks-as-one-class", "warning" if others else "error", what, remedy, files, len(files))


def _holds_0_and_255(look: Look) -> bool:
    labels = look.sample.labels
    if not isinstance(labels, FileLabels) or labels.coding.format != "index" or labels.coding.values is not None:
        return False
    return are_masks([look.sample.label])


def odd_sizes(looks: Sequence[Look], input_size: Size | None) -> Iterator[Finding]:
    """Pictures of other sizes and shapes than most, and such as have fewer pixels than the network takes.

    Args:
        looks: of one split.
        input_size: (height, width) that training resizes to; None to leave that out.
    """
    sized = [(look, look.size) for look in looks if look.size is not None]
    if not sized:
        return
    sizes = np.array([size for _, size in sized], dtype=np.float64)
    area, aspect = sizes.prod(axis=1), sizes[:, 1] / sizes[:, 0]
    # The picture in the middle stands for the rest, so that a few of another size do not move it.
    middle_area, middle_aspect = np.median(area), np.median(aspect)
    usual = f"{middle_area / 1e6:.3g} megapixels and {middle_aspect:.2f} times as wide as high"
    for (look, size), pixels, shape in zip(sized, area, aspect, strict=True):
        image = look.sample.image
        if look.findings:
            continue  # to be mended first: EXIF may have turned it
        if _ratio(pixels, middle_area) > _MOST_AREA_RATIO or _ratio(shape, middle_aspect) > _MOST_ASPECT_RATIO:
            what = f"{image} is {in_words(size)}, where the middle one of its split has {usual}"
            remedy = "Cut or leave out what is not like the rest: training stretches all pictures to one size"
            yield Finding("unusual-size", "warning", what, remedy, (image,))
        if input_size is not None and pixels < _LEAST_OF_INPUT * input_size[0] * input_size[1]:
            what = f"{image} is {in_words(size)}, much smaller than the network's input of {in_words(input_size)}"
            remedy = "Train at a smaller height and width"
            yield Finding("small-picture", "warning", what, remedy, (image,))


def _ratio(one: float, other: float) -> float:
    return max(one / other, other / one)
