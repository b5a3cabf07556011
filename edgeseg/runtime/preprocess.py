"""From a picture of any size to what the network takes."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.data.sampling import spread
from edgeseg.spec import ModelSpec
from edgeseg.spec.palette import IGNORE
from edgeseg.spec.placement import Placement, tiles_of
from edgeseg.types import ImageU8, LabelsU8


def to_input(image: ImageU8, size: tuple[int, int]) -> ImageU8:
    """Stretch ``image`` to the model's input size.

    Shrinking averages over areas, so that thin things keep their weight; enlarging is bilinear.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: (height, width) in pixels.

    Returns:
        (1, height, width, 3) uint8 RGB, C-contiguous; a view of ``image`` where its size fits.
    """
    height, width = size
    if image.shape[:2] != size:
        shrinks = height <= image.shape[0] and width <= image.shape[1]
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        image = np.asarray(resized, dtype=np.uint8)
    return np.ascontiguousarray(image)[np.newaxis]


def to_canvas(image: ImageU8, placement: Placement) -> ImageU8:
    """A picture as the network looks at it.

    Args:
        image: (H, W, 3) uint8 RGB, of the size that the placement is for.
        placement: where it lies.

    Returns:
        (height, width, 3) uint8 RGB of the canvas, C-contiguous, the picture's own edge repeated beside it; a view of
        ``image`` where nothing is to be done.
    """
    picture: ImageU8 = to_input(image[placement.seen.slices], placement.window.size)[0]
    if not placement.has_border:
        return picture
    window, (height, width) = placement.window, placement.canvas
    sides = (window.top, height - window.bottom, window.left, width - window.right)
    # As training does beyond a picture that is zoomed out: no colour is a stranger to the network.
    return np.asarray(cv2.copyMakeBorder(picture, *sides, cv2.BORDER_REPLICATE), dtype=np.uint8)


def labels_to_canvas(labels: LabelsU8, placement: Placement) -> LabelsU8:
    """Labels (H, W) uint8 as :func:`to_canvas` lays their picture, by nearest neighbour; 255 beside it."""
    part, (height, width) = labels[placement.seen.slices], placement.window.size
    if part.shape != (height, width):
        # INTER_NEAREST samples from the pixel's corner and would shift the labels by up to half a pixel.
        resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        part = np.asarray(resized, dtype=np.uint8)
    if not placement.has_border:
        return np.ascontiguousarray(part)
    canvas = np.full(placement.canvas, IGNORE, dtype=np.uint8)
    canvas[placement.window.slices] = part
    return canvas


def inputs_of(image: ImageU8, spec: ModelSpec, most: int) -> list[ImageU8]:
    """What a network sees of a picture: one input, or of its tiles up to ``most``, evenly spread.

    Args:
        image: (H, W, 3) uint8 RGB of any size.
        spec: of the network.
        most: inputs that are wanted.

    Returns:
        (1, height, width, 3) uint8 RGB each, of the input size, C-contiguous.
    """
    placement = spec.place((image.shape[0], image.shape[1]))
    canvas = to_canvas(image, placement)
    tiles = spread(tiles_of(placement.canvas, spec.input_size, spec.cell), most)
    return [np.ascontiguousarray(canvas[tile.slices])[np.newaxis] for tile in tiles]
