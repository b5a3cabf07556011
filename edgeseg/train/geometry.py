"""Where the pixels of a picture go in training: one random affine map for the picture and all that is known of it.

The losses look at a grid of fewer points than the picture has pixels. What is warped for them is warped to that grid.
"""

from __future__ import annotations

import math

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
        self.grid_size = grid_size(config.crop_size, config.loss_stride)
        self.log_scale = (math.log(config.scale_min), math.log(config.scale_max))
        self.log_aspect = math.log(config.aspect)

    def draw(self, size: tuple[int, int], chance: torch.Generator) -> Matrix:
        """A random map from a picture of (height, width) ``size`` to a crop."""
        height, width = size
        crop_height, crop_width = self.crop_size
        zoom, stretch, across, down, side = torch.rand(5, dtype=torch.float64, generator=chance).tolist()
        low, high = self.log_scale
        scale = math.exp(low + (high - low) * zoom)
        aspect = math.exp(self.log_aspect * (stretch - 0.5))
        scale_x, scale_y = scale * aspect, scale / aspect
        # Where the zoomed image is larger than the crop the crop lies inside it, else it lies somewhere in the crop.
        # Whole coordinates are the centres of pixels, so an edge at -0.5 stays there: hence the (scale - 1) / 2.
        shift_x = across * (crop_width - scale_x * width) + (scale_x - 1) / 2
        shift_y = down * (crop_height - scale_y * height) + (scale_y - 1) / 2
        if side < 0.5:
            return np.array([[-scale_x, 0, shift_x + scale_x * (width - 1)], [0, scale_y, shift_y]])
        return np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])

    def image(self, image: Tensor, matrix: Matrix) -> ImageU8:
        """The crop (height, width, 3) of a picture (3, H, W); beyond the picture it repeats the border."""
        height, width = self.crop_size
        warped = cv2.warpAffine(
            image.permute(1, 2, 0).numpy(),
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(warped, dtype=np.uint8)

    def labels(self, labels: Tensor, matrix: Matrix) -> LabelsU8:
        """The labels (height, width) of a crop; beyond the picture there are none."""
        height, width = self.crop_size
        warped = cv2.warpAffine(
            labels.numpy(),
            matrix,
            (width, height),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(IGNORE,),
        )
        return np.asarray(warped, dtype=np.uint8)

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

    def _to_grid(self) -> Matrix:
        return _stretch(self.crop_size, self.grid_size)


def _stretch(size: tuple[int, ...], other: tuple[int, ...]) -> Matrix:
    """(3, 3): from the pixels of one (height, width) to those of another over the same area."""
    y, x = other[0] / size[0], other[1] / size[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _square(matrix: Matrix) -> Matrix:
    return np.vstack([matrix, [0, 0, 1]])
