"""Random geometry and colour for each training sample, by OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from edgeseg.spec.palette import IGNORE
from edgeseg.spec.placement import Box
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import Pair
from edgeseg.train.rare import ClassIndex, paste, pixel_of
from edgeseg.types import ImageU8, LabelsU8

Draw = tuple[int, int]
"""The index of a sample, and the seed that all its randomness follows from."""


class Augmented(TorchDataset[Pair]):
    """Samples zoomed, stretched, cropped and flipped in one warp, in other colours.

    Beyond the image the crop repeats its border, and has no label there.

    Args:
        samples: what to take them from.
        count: of samples.
        config: the recipe.
        index: which samples show which class; needed for class-uniform crops and for copy-paste.

    Pictures that the network sees in tiles are much larger than a crop, and what they are about may be small in them:
    there a crop holds, as far as there are any, a pixel of a label, every other time of a class drawn from those in the
    picture, each as likely as the others.
    """

    def __init__(
        self, samples: TorchDataset[Pair], count: int, config: TrainConfig, index: ClassIndex | None = None
    ) -> None:
        self.samples = samples
        self.count = count
        self.index = index
        self.class_uniform = config.class_uniform if index is not None else 0.0
        self.copy_paste = config.copy_paste if index is not None else 0.0
        self.flip = config.flip
        self.crop_size = config.crop_size
        self.tiles = config.fit == "tile"
        self.log_scale = (math.log(config.scale_min), math.log(config.scale_max))
        self.log_aspect = math.log(config.aspect)
        self.color_jitter = config.color_jitter

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: Draw) -> Pair:
        number, seed = draw
        chance = torch.Generator().manual_seed(seed)
        target = None
        if self.index is not None and self.class_uniform and _happens(self.class_uniform, chance):
            target = self.index.any_class(chance)
            number = self.index.picture(target, chance)
        image, labels = self._crop(number, target, chance)
        if self.index is not None and self.copy_paste and _happens(self.copy_paste, chance):
            rare = self.index.rare_class(chance)
            if rare is not None:
                paste(image, labels, *self._crop(self.index.picture(rare, chance), rare, chance), rare)
        image = jitter_color(image, self.color_jitter, chance)
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels)

    def _crop(self, number: int, target: int | None, chance: torch.Generator) -> tuple[ImageU8, LabelsU8]:
        """Image and labels of a crop, which has a pixel of the class ``target``, if any."""
        image, labels = self.samples[number]
        pixels, classes = image.permute(1, 2, 0).numpy(), labels.numpy()
        size = (classes.shape[0], classes.shape[1])
        point = None if target is None else pixel_of(classes, target, chance)
        if point is None and self.tiles:
            point = labelled_point(classes, chance)
        height, width = self.crop_size
        matrix = self._matrix(size, chance, point)
        if self.tiles:
            part = _reached(matrix, self.crop_size, size)
            pixels, classes = pixels[part.slices], classes[part.slices]
            matrix[:, 2] += matrix[:, :2] @ (part.left, part.top)
        warped = cv2.warpAffine(
            pixels,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        warped_labels = cv2.warpAffine(
            classes,
            matrix,
            (width, height),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(IGNORE,),
        )
        return np.asarray(warped, dtype=np.uint8), np.asarray(warped_labels, dtype=np.uint8)

    def _matrix(
        self, size: tuple[int, int], chance: torch.Generator, point: tuple[int, int] | None = None
    ) -> NDArray[np.float64]:
        """A random (2, 3) matrix from the pixels of an image of (height, width) ``size`` to those of a crop.

        The crop holds the pixel (row, column) that ``point`` names.
        """
        height, width = size
        crop_height, crop_width = self.crop_size
        zoom, stretch, across, down, side = torch.rand(5, dtype=torch.float64, generator=chance).tolist()
        low, high = self.log_scale
        scale = math.exp(low + (high - low) * zoom)
        aspect = math.exp(self.log_aspect * (stretch - 0.5))
        scale_x, scale_y = scale * aspect, scale / aspect
        if point is not None:
            down = _holding(point[0], down, scale_y * height, crop_height, scale_y)
            across = _holding(point[1], across, scale_x * width, crop_width, scale_x)
        # Where the zoomed image is larger than the crop the crop lies inside it, else it lies somewhere in the crop.
        # Whole coordinates are the centres of pixels, so an edge at -0.5 stays there: hence the (scale - 1) / 2.
        shift_x = across * (crop_width - scale_x * width) + (scale_x - 1) / 2
        shift_y = down * (crop_height - scale_y * height) + (scale_y - 1) / 2
        matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
        # The crop is mirrored, not the image, so that a pixel that lies in it still does.
        if self.flip != "none" and side < 0.5:
            matrix[0] = -matrix[0]
            matrix[0, 2] += crop_width - 1
        if self.flip == "both" and side % 0.5 < 0.25:
            matrix[1] = -matrix[1]
            matrix[1, 2] += crop_height - 1
        return matrix


def _happens(probability: float, chance: torch.Generator) -> bool:
    return float(torch.rand((), generator=chance)) < probability


def labelled_point(labels: LabelsU8, chance: torch.Generator) -> tuple[int, int] | None:
    """A pixel (y, x) that has a label: any of them, or one of a class drawn from those there are; None without."""
    counts = np.asarray(cv2.calcHist([labels], [0], None, [256], [0, 256])).ravel()[:IGNORE].astype(np.int64)
    balanced, which, place = torch.rand(3, dtype=torch.float64, generator=chance).tolist()
    shares = counts > 0 if balanced < 0.5 else counts
    total = np.cumsum(shares)
    if not total[-1]:
        return None
    index = int(np.searchsorted(total, which * total[-1], side="right"))
    pixels = np.flatnonzero(labels == index)
    y, x = divmod(int(pixels[int(place * len(pixels))]), labels.shape[1])
    return y, x


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


def _reached(matrix: NDArray[np.float64], crop: tuple[int, int], size: tuple[int, int]) -> Box:
    """The part of an image that a crop of it is made of: to warp all of a large picture would only take memory."""
    (scale_x, _, shift_x), (_, scale_y, shift_y) = matrix.tolist()
    columns = sorted((edge - shift_x) / scale_x for edge in (-1, crop[1]))
    rows = sorted((edge - shift_y) / scale_y for edge in (-1, crop[0]))
    top, left = max(math.floor(rows[0]) - 1, 0), max(math.floor(columns[0]) - 1, 0)
    bottom, right = min(math.ceil(rows[1]) + 2, size[0]), min(math.ceil(columns[1]) + 2, size[1])
    return Box(top, left, bottom, right)


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
