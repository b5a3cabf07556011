"""Random geometry and colour for each training sample, by OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from edgeseg.spec.palette import IGNORE
from edgeseg.train.config import TrainConfig
from edgeseg.train.picture_cache import Pair
from edgeseg.types import ImageU8

Draw = tuple[int, int]
"""The index of a sample, and the seed that all its randomness follows from."""


class Augmented(TorchDataset[Pair]):
    """Samples zoomed, stretched, cropped and flipped in one warp, in other colours.

    Beyond the image the crop repeats its border, and has no label there.
    """

    def __init__(self, samples: TorchDataset[Pair], count: int, config: TrainConfig) -> None:
        self.samples = samples
        self.count = count
        self.crop_size = config.crop_size
        self.log_scale = (math.log(config.scale_min), math.log(config.scale_max))
        self.log_aspect = math.log(config.aspect)
        self.color_jitter = config.color_jitter

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: Draw) -> Pair:
        index, seed = draw
        chance = torch.Generator().manual_seed(seed)
        image, labels = self.samples[index]
        matrix = self._matrix((labels.shape[0], labels.shape[1]), chance)
        height, width = self.crop_size
        warped = cv2.warpAffine(
            image.permute(1, 2, 0).numpy(),
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        warped_labels = cv2.warpAffine(
            labels.numpy(),
            matrix,
            (width, height),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(IGNORE,),
        )
        warped = jitter_color(np.asarray(warped, dtype=np.uint8), self.color_jitter, chance)
        return torch.from_numpy(warped).permute(2, 0, 1), torch.from_numpy(warped_labels)

    def _matrix(
        self, size: tuple[int, int], chance: torch.Generator
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """A random (2, 3) matrix from the pixels of an image of (height, width) ``size`` to those of a crop."""
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


def jitter_color(image: ImageU8, amount: float, chance: torch.Generator) -> ImageU8:
    """Change brightness, contrast, saturation, hue, gamma and white balance at random, and blur now and then.

    Two look-up tables on uint8 do it: the same on float tensors took a third of a training step on a CPU.

    Args:
        image: (H, W, 3) uint8 RGB.
        amount: 0..1, the largest relative change; hue turns by a tenth of the circle times this, white balance moves by
            a quarter of it, gamma's exponent by half.
        chance: what draws the changes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not amount:
        return image
    brightness, contrast, saturation, hue, gamma, red, blue, blur = (2 * torch.rand(8, generator=chance) - 1).tolist()
    levels = np.arange(256, dtype=np.float64)
    hsv_table = np.stack([(levels + hue * amount * 18) % 180, levels * (1 + saturation * amount), levels], axis=1)
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), _as_table(hsv_table))
    gains = np.array([1 + red * amount / 4, 1.0, 1 + blue * amount / 4])
    curve = 255 * (levels / 255) ** (1 + gamma * amount / 2)
    curve = (curve - image.mean()) * (1 + contrast * amount) + image.mean()
    rgb_table = curve[:, None] * gains * (1 + brightness * amount)
    changed = cv2.LUT(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), _as_table(rgb_table))
    if blur > 0.7:
        changed = cv2.GaussianBlur(changed, (5, 5), sigmaX=0.3 + 3 * (blur - 0.7))
    return np.asarray(changed, dtype=np.uint8)


def _as_table(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(256, 3) values as the table cv2.LUT takes."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)[np.newaxis]
