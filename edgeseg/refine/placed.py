"""Refinement of a picture wherever it lies before the network: without its border, and tile by tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.refine.base import Refiner, probabilities_of
from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import Placement, Span, cells_within, own_parts, tiles_of
from edgeseg.types import ImageU8


def refine_placed(
    refiner: Refiner, logits: NDArray[np.float32], canvas: ImageU8, placement: Placement, spec: ModelSpec
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Refine what the network said of a canvas.

    The refiner works at the scale of the model's input, for which its parameters are, on the picture alone: a border is
    cut away before it can colour anything. Of tiles it gets one at a time, with the logits that were blended, so that
    neither its time nor its memory grows faster than the picture; its scores become labels at once, each tile's up to
    the middle of where it overlaps with the next.

    Args:
        refiner: the refiner.
        logits: (1, C, h, w) float32 of the canvas.
        canvas: (H, W, 3) uint8 RGB as the network saw it.
        placement: of the picture.
        spec: of the network.

    Returns:
        for ``placement.without_border()``: (1, C, H, W) float32 scores, or (1, H, W) uint8 labels of several tiles.
    """
    logits = _without_border(logits, placement)
    window, size = placement.window, spec.input_size
    if placement.canvas == size:
        probabilities = probabilities_of(logits, size, window)
        return refiner(probabilities, np.ascontiguousarray(canvas[window.slices]))[np.newaxis]
    labels = np.empty(placement.canvas, dtype=np.uint8)
    cell = spec.cell
    parts = own_parts(placement.canvas, size, cell)
    for tile, own in zip(tiles_of(placement.canvas, size, cell), parts, strict=True):
        top, left = tile.top // cell, tile.left // cell
        cells = logits[..., top : top + size[0] // cell, left : left + size[1] // cell]
        inside = tile.within(window)
        probabilities = probabilities_of(cells, size, inside.moved(-tile.top, -tile.left))
        scores = refiner(probabilities, np.ascontiguousarray(canvas[inside.slices]))
        mine = own.within(window)
        labels[mine.slices] = scores[mine.moved(-inside.top, -inside.left).planes].argmax(axis=0)
    return labels[window.slices][np.newaxis]


def _without_border(logits: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Logits whose values outside of the picture are the nearest within, which is what labels are made of as well."""
    if not placement.has_border:
        return logits
    rows, columns = (_inside(count, span) for count, span in zip(logits.shape[2:], placement.spans, strict=True))
    return np.asarray(logits[..., rows[:, np.newaxis], columns])


def _inside(count: int, span: Span) -> NDArray[np.intp]:
    """The cells to take along an axis."""
    return np.clip(np.arange(count), *cells_within(count, span))
