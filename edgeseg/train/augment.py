"""Random geometry and colour for each training sample, by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from edgeseg.train.config import TrainConfig
from edgeseg.train.geometry import Geometry, Matrix
from edgeseg.train.picture_cache import Pair
from edgeseg.train.rare import ClassIndex, labelled_pixel, paste, pixel_of
from edgeseg.train.soft_pictures import SoftPictures
from edgeseg.types import ImageU8, LabelsU8

Draw = tuple[int, int]
"""The index of a sample, and the seed that all its randomness follows from."""


class Augmented(TorchDataset[tuple[Tensor, ...]]):
    """Samples zoomed, stretched, cropped and flipped in one warp, in other colours.

    Beyond the image the crop repeats its border, and has no label there. Each is an image (3, H, W) and labels (H, W),
    both uint8. Where there is a teacher, it is told in a third tensor what part of the losses' grid shows the picture,
    (h, w) uint8; and where that has spoken before, a fourth is what it said, (C, h, w) uint8, warped alike.

    Pictures that the network sees in tiles are much larger than a crop, and what they are about may be small in them:
    there a crop holds, as far as there are any, a pixel of a label, every other time of a class drawn from those in the
    picture, each as likely as the others.

    Args:
        samples: what is augmented.
        count: how many those are.
        config: how.
        index: which samples show which class; needed for class-uniform crops and for copy-paste.
        taught: whether there is a teacher.
        soft: what it has said; None for one that is asked anew.
    """

    def __init__(
        self,
        samples: TorchDataset[Pair],
        count: int,
        config: TrainConfig,
        *,
        index: ClassIndex | None = None,
        taught: bool = False,
        soft: SoftPictures | None = None,
    ) -> None:
        self.samples = samples
        self.count = count
        self.geometry = Geometry(config)
        self.index = index
        self.class_uniform = config.class_uniform if index is not None else 0.0
        self.copy_paste = config.copy_paste if index is not None else 0.0
        self.tiles = config.fit == "tile"
        self.color_jitter = config.color_jitter
        self.taught = taught
        self.soft = soft

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: Draw) -> tuple[Tensor, ...]:
        number, seed = draw
        chance = torch.Generator().manual_seed(seed)
        target = None
        if self.index is not None and self.class_uniform and _happens(self.class_uniform, chance):
            target = self.index.any_class(chance)
            number = self.index.picture(target, chance)
        image, labels, size, matrix = self._crop(number, target, chance)
        pasted = np.zeros(labels.shape, dtype=bool)
        if self.index is not None and self.copy_paste and _happens(self.copy_paste, chance):
            rare = self.index.rare_class(chance)
            if rare is not None:
                other, other_labels, *_ = self._crop(self.index.picture(rare, chance), rare, chance)
                pasted = paste(image, labels, other, other_labels, rare)
        image = jitter_color(image, self.color_jitter, chance)
        pair = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels)
        if not self.taught:
            return pair
        inside = self.geometry.inside(size, matrix)
        if self.soft is None:
            return *pair, torch.from_numpy(inside)
        inside[self.geometry.on_grid(pasted)] = 0  # what the teacher said is of what was there before
        planes = self.soft.read(number)
        if planes is None:  # a rendered scene, of which nothing was said
            nothing = np.zeros((self.soft.num_classes, *inside.shape), np.uint8)
            return *pair, torch.zeros(inside.shape, dtype=torch.uint8), torch.from_numpy(nothing)
        return *pair, torch.from_numpy(inside), torch.from_numpy(self.geometry.planes(planes, size, matrix))

    def _crop(
        self, number: int, target: int | None, chance: torch.Generator
    ) -> tuple[ImageU8, LabelsU8, tuple[int, int], Matrix]:
        """Image and labels of a crop, which has a pixel of the class ``target``, if any; of which size, and by which
        map.
        """
        image, labels = self.samples[number]
        classes: LabelsU8 = labels.numpy()
        size = (classes.shape[0], classes.shape[1])
        pixel = None if target is None else pixel_of(classes, target, chance)
        if pixel is None and self.tiles:
            pixel = labelled_pixel(classes, chance)
        matrix = self.geometry.draw(size, chance, pixel)
        return self.geometry.image(image, matrix), self.geometry.labels(labels, matrix), size, matrix


def _happens(probability: float, chance: torch.Generator) -> bool:
    return float(torch.rand((), generator=chance)) < probability


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
