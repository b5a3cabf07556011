"""Where the pixels of a picture go in training: one random affine map for the picture and all that is known of it.

The losses look at a grid of fewer points than the picture has pixels. What is warped for them is warped to that grid.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeseg.spec.palette import IGNORE
from edgeseg.train.config import TrainConfig
from edgeseg.types import ImageU8, LabelsU8

Matrix = NDArray[np.float64]
"""(2, 3): from the pixels (x, y, 1) of a picture to those of a crop; whole numbers are the centres of pixels."""


def grid_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """(height, width) of the points at which the losses are taken, of pictures of that (height, width)."""
    height, width = (len(range(stride // 2, side, stride)) for side in size)
    return height, width


class Geometry:
    """Random zoom, stretch, crop and mirroring in one warp.

    Args:
        config: says how much of each, the size of crops and the stride of the losses.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.crop_size = config.crop_size
        self.stride = config.loss_stride
        self.grid_size = grid_size(config.crop_size, config.loss_stride)
        self.log_scale = (math.log(config.scale_min), math.log(config.scale_max))
        self.log_aspect = math.log(config.aspect)
        self.flip = config.flip
        self.tiles = config.fit == "tile"

    def draw(self, size: tuple[int, int], chance: torch.Generator, pixel: tuple[int, int] | None = None) -> Matrix:
        """A random map from a picture of (height, width) ``size`` to a crop.

        The crop holds the pixel (row, column), if one is named.
        """
        height, width = size
        crop_height, crop_width = self.crop_size
        zoom, stretch, across, down, side = torch.rand(5, dtype=torch.float64, generator=chance).tolist()
        low, high = self.log_scale
        scale = math.exp(low + (high - low) * zoom)
        aspect = math.exp(self.log_aspect * (stretch - 0.5))
        scale_x, scale_y = scale * aspect, scale / aspect
        if pixel is not None:
            down = _holding(pixel[0], down, scale_y * height, crop_height, scale_y)
            across = _holding(pixel[1], across, scale_x * width, crop_width, scale_x)
        # Where the zoomed image is larger than the crop the crop lies inside it, else it lies somewhere in the crop.
        # Whole coordinates are the centres of pixels, so an edge at -0.5 stays there: hence the (scale - 1) / 2.
        shift_x = across * (crop_width - scale_x * width) + (scale_x - 1) / 2
        shift_y = down * (crop_height - scale_y * height) + (scale_y - 1) / 2
        matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
        # The crop is mirrored, not the picture, so that a pixel that lies in it still does.
        if self.flip != "none" and side < 0.5:
            matrix[0] = -matrix[0]
            matrix[0, 2] += crop_width - 1
        if self.flip == "both" and side % 0.5 < 0.25:
            matrix[1] = -matrix[1]
            matrix[1, 2] += crop_height - 1
        return matrix

    def image(self, image: Tensor, matrix: Matrix) -> ImageU8:
        """The crop (height, width, 3) of a picture (3, H, W); beyond the picture it repeats the border."""
        pixels = image.permute(1, 2, 0).numpy()
        return self._crop(pixels, matrix, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def labels(self, labels: Tensor, matrix: Matrix) -> LabelsU8:
        """The labels (height, width) of a crop; beyond the picture there are none."""
        nothing: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (IGNORE,)}
        return self._crop(labels.numpy(), matrix, flags=cv2.INTER_NEAREST, **nothing)

    def shown(self, size: tuple[int, int], matrix: Matrix) -> float:
        """The share, 0..1, of a picture of (height, width) ``size`` that its crop shows."""
        share = 1.0
        for axis in (0, 1):
            scale, shift = matrix[axis, axis], matrix[axis, 2]
            ends = sorted(scale * end + shift for end in (-0.5, size[1 - axis] - 0.5))
            low, high = max(ends[0], -0.5), min(ends[1], self.crop_size[1 - axis] - 0.5)
            share *= max(0.0, high - low) / (ends[1] - ends[0])
        return float(share)

    def inside(self, size: tuple[int, int], matrix: Matrix) -> NDArray[np.uint8]:
        """(h, w) of the losses' grid: 1 where it shows the picture, which has (height, width) ``size``, else 0."""
        height, width = self.grid_size
        warped = cv2.warpAffine(
            np.ones(size, np.uint8),
            (self._to_grid() @ _square(matrix))[:2],
            (width, height),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return np.asarray(warped, dtype=np.uint8)

    def planes(self, planes: NDArray[np.uint8], size: tuple[int, int], matrix: Matrix) -> NDArray[np.uint8]:
        """Values of a whole picture at some size of their own, on the losses' grid.

        Args:
            planes: (C, a, b).
            size: (height, width) of the picture, to whose pixels ``matrix`` belongs.
            matrix: the map.

        Returns:
            (C, h, w), between the values linearly.
        """
        to_picture = _stretch(planes.shape[1:], size)
        whole = (self._to_grid() @ _square(matrix) @ to_picture)[:2]
        height, width = self.grid_size
        warped = [
            cv2.warpAffine(plane, whole, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for plane in planes
        ]
        return np.stack(warped).astype(np.uint8, copy=False)

    def on_grid(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What holds of the pixels (height, width) of a crop, at the points (h, w) of the losses' grid."""
        return mask[self.stride // 2 :: self.stride, self.stride // 2 :: self.stride]

    def _crop(self, pixels: NDArray[np.uint8], matrix: Matrix, **how: Any) -> NDArray[np.uint8]:
        height, width = self.crop_size
        pixels, matrix = self._reached(pixels, matrix)
        return np.asarray(cv2.warpAffine(pixels, matrix, (width, height), **how), dtype=np.uint8)

    def _reached(self, pixels: NDArray[np.uint8], matrix: Matrix) -> tuple[NDArray[np.uint8], Matrix]:
        """The part that a crop is made of, and its map: to warp all of a large picture would only take memory."""
        if not self.tiles:
            return pixels, matrix
        (scale_x, _, shift_x), (_, scale_y, shift_y) = matrix.tolist()
        columns = sorted((edge - shift_x) / scale_x for edge in (-1, self.crop_size[1]))
        rows = sorted((edge - shift_y) / scale_y for edge in (-1, self.crop_size[0]))
        top, left = max(math.floor(rows[0]) - 1, 0), max(math.floor(columns[0]) - 1, 0)
        bottom, right = min(math.ceil(rows[1]) + 2, pixels.shape[0]), min(math.ceil(columns[1]) + 2, pixels.shape[1])
        moved = matrix.copy()
        moved[:, 2] += matrix[:, :2] @ (left, top)
        return pixels[top:bottom, left:right], moved

    def _to_grid(self) -> Matrix:
        return _stretch(self.crop_size, self.grid_size)


def _holding(pixel: int, chance: float, zoomed: float, crop: int, scale: float) -> float:
    """Where a crop lies along an axis, 0 at its beginning to 1 at its end, such that it holds a pixel.

    Args:
        pixel: the pixel of the image.
        chance: 0..1, chooses among the places.
        zoomed: length of the zoomed image.
        crop: that of the crop.
        scale: of the zoom.
    """
    free = zoomed - crop
    if free <= 0:
        return chance
    centre = (pixel + 0.5) * scale
    low, high = max(centre - crop, 0.0), min(centre, free)
    return (low + chance * (high - low)) / free


def _stretch(size: tuple[int, ...], other: tuple[int, ...]) -> Matrix:
    """(3, 3): from the pixels of one (height, width) to those of another over the same area."""
    y, x = other[0] / size[0], other[1] / size[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _square(matrix: Matrix) -> Matrix:
    return np.vstack([matrix, [0, 0, 1]])
