"""Random geometry for each sample, by OpenCV; random colour for each batch on its device, by kornia.

All randomness is that of torch's global generator, which the loop seeds for each epoch.
"""

from __future__ import annotations

import math

import cv2
import kornia.augmentation as K
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

from edgeseg.palette import IGNORE
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import Pair


class RandomCrops(TorchDataset[Pair]):
    """Samples zoomed, stretched, cropped and flipped in one warp.

    Beyond the image the crop repeats its border, and has no label there.
    """

    def __init__(self, samples: TorchDataset[Pair], count: int, config: TrainConfig) -> None:
        self.samples = samples
        self.count = count
        self.crop_size = config.crop_size
        self.log_scale = (math.log(config.scale_min), math.log(config.scale_max))
        self.log_aspect = math.log(config.aspect)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        image, labels = self.samples[index]
        matrix = self._matrix((labels.shape[0], labels.shape[1]))
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
        return torch.from_numpy(warped).permute(2, 0, 1), torch.from_numpy(warped_labels)

    def _matrix(self, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """A random (2, 3) matrix from the pixels of an image of (height, width) ``size`` to those of a crop."""
        height, width = size
        crop_height, crop_width = self.crop_size
        zoom, stretch, across, down, side = torch.rand(5, dtype=torch.float64).tolist()
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


class RandomColor(nn.Module):
    """Brightness, contrast, saturation, hue, white balance and blur, drawn anew for each image of a batch."""

    def __init__(self, jitter: float) -> None:
        super().__init__()
        self.jitter = K.AugmentationSequential(
            K.ColorJiggle(jitter, jitter, jitter, jitter / 10, p=0.8),
            K.RandomPlanckianJitter(p=0.3),
            K.RandomGaussianBlur((5, 5), (0.3, 1.2), p=0.15),
            data_keys=["input"],
        )
        self.enabled = jitter > 0

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to (N, 3, H, W) float32 RGB 0..1."""
        scaled = images.float() / 255
        return self.jitter(scaled).clamp_(0, 1) if self.enabled else scaled
