"""A picture that is larger than the network's input, tile by tile: many passes, one grid of logits.

Tiles begin at whole cells of the logits, so that where they overlap their logits are of the same places. There they are
blended: each counts by its distance to its own edge, which over the overlap of two is a linear ramp, and where the two
agree, as those of a network that does not see its tile's edges do, nothing changes. What is kept of a picture are its
logits, one for each cell; they become labels as those of a single input do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import Box, own_parts, tile_offsets, tiles_of
from edgeseg.types import ImageU8

Output = NDArray[np.float32] | NDArray[np.uint8]
Infer = Callable[[NDArray[np.uint8]], Output]
"""(N, H, W, 3) uint8 RGB to logits or labels, as :meth:`edgeseg.runtime.backend.Backend.infer`."""

AT_A_TIME = 8
"""Tiles that pass the network together, so that the memory it takes does not grow with the picture."""


def infer_tiles(infer: Infer, canvas: ImageU8, spec: ModelSpec, most: int | None = None) -> Output:
    """What a network says of a canvas of any size.

    Args:
        infer: runs the network over some inputs.
        canvas: (H, W, 3) uint8 RGB, as :meth:`edgeseg.spec.model_spec.ModelSpec.place` makes it for ``tile``.
        spec: of the network.
        most: inputs that ``infer`` takes at a time; None for any number.

    Returns:
        (C, h, w) float32 logits, one for each cell of the canvas, or (H, W) uint8 labels.
    """
    size, cell = (canvas.shape[0], canvas.shape[1]), spec.cell
    tiles = tiles_of(size, spec.input_size, cell)
    outputs = _outputs(infer, canvas, tiles, most)
    if spec.output == "labels":
        labels = np.empty(size, dtype=np.uint8)
        for tile, own, output in zip(tiles, own_parts(size, spec.input_size, cell), outputs, strict=True):
            labels[own.slices] = output[own.moved(-tile.top, -tile.left).slices]
        return labels
    rows, columns = (_ramps(side, tile, cell) for side, tile in zip(size, spec.input_size, strict=True))
    weights = [row[:, np.newaxis] * column for row in rows for column in columns]
    logits = np.zeros((spec.num_classes, size[0] // cell, size[1] // cell), dtype=np.float32)
    for tile, weight, output in zip(tiles, weights, outputs, strict=True):
        top, left = tile.top // cell, tile.left // cell
        logits[:, top : top + weight.shape[0], left : left + weight.shape[1]] += output * weight
    return logits


def _outputs(infer: Infer, canvas: ImageU8, tiles: Sequence[Box], most: int | None) -> Iterator[Output]:
    """What the network says of each tile, in their order."""
    step = min(most or AT_A_TIME, AT_A_TIME)
    for start in range(0, len(tiles), step):
        yield from infer(np.stack([canvas[tile.slices] for tile in tiles[start : start + step]]))


def _ramps(side: int, tile: int, cell: int) -> NDArray[np.float32]:
    """(tiles, cells of a tile): how much each cell of each tile counts along an axis; one in all for each cell."""
    offsets = [offset // cell for offset in tile_offsets(side, tile, cell)]
    distance = np.arange(tile // cell) + 0.5
    ramp = np.minimum(distance, distance[::-1])
    total = np.zeros(side // cell)
    for offset in offsets:
        total[offset : offset + len(ramp)] += ramp
    return np.stack([ramp / total[offset : offset + len(ramp)] for offset in offsets]).astype(np.float32)
