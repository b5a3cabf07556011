"""Crops whose pictures encode their labels as colours, so that a shift between both would show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeseg.train.augment import Augmented, jitter_color
from edgeseg.train.config import TrainConfig
from edgeseg.train.rare import ClassIndex

PALETTE = np.array([[10, 200, 60], [240, 30, 30], [20, 40, 250], [200, 200, 0]], np.uint8)
SIZE = (64, 96)


def encoded(seed=0):
    """An image that shows its labels: blocks of 8x8 pixels of four colours."""
    blocks = np.random.default_rng(seed).integers(0, 4, (8, 12), dtype=np.uint8)
    labels = blocks.repeat(8, axis=0).repeat(8, axis=1)
    return torch.from_numpy(PALETTE[labels].transpose(2, 0, 1).copy()), torch.from_numpy(labels)


def crops(**settings):
    """``crops(**settings)(seed)`` is a crop of the encoded image."""
    config = TrainConfig(**{"data": Path(), "height": SIZE[0], "width": SIZE[1], "color_jitter": 0.0, **settings})
    dataset = Augmented([encoded()], 1, config)

    def draw(seed):
        return dataset[0, seed]

    return draw


@pytest.mark.parametrize("settings", [{}, {"crop_height": 40, "crop_width": 56}, {"scale_min": 1.5, "aspect": 2.0}])
def test_image_and_labels_stay_together(settings):
    draw = crops(**settings)
    compared = 0
    for seed in range(40):
        image, labels = draw(seed)
        assert image.shape[1:] == labels.shape == (settings.get("crop_height", 64), settings.get("crop_width", 96))
        assert image.dtype == labels.dtype == torch.uint8
        pixels, indices = image.permute(1, 2, 0).numpy(), labels.numpy()
        # Between two blocks, and at the rim where the next one may begin, the colours are blended.
        inside = (cv2.erode(indices, np.ones((5, 5))) == cv2.dilate(indices, np.ones((5, 5)))) & (indices != 255)
        inside[[0, 1, -2, -1]] = inside[:, [0, 1, -2, -1]] = False
        assert np.array_equal(pixels[inside], PALETTE[indices[inside]])
        compared += int(inside.sum())
    assert compared > 10_000


def test_without_zoom_or_stretch_it_is_the_image_or_its_mirror_image():
    draw = crops(scale_min=1, scale_max=1, aspect=1)
    image, labels = encoded()
    mirrored = 0
    for seed in range(20):
        crop, crop_labels = draw(seed)
        if not torch.equal(crop, image):
            crop, crop_labels = crop.flip(2), crop_labels.flip(1)
            mirrored += 1
        assert torch.equal(crop, image)
        assert torch.equal(crop_labels, labels)
    assert 4 <= mirrored <= 16


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0, 3.7])
def test_a_crop_of_a_larger_image_is_labelled_to_its_last_pixel(scale):
    draw = crops(scale_min=scale, scale_max=scale, aspect=1)
    assert all((draw(seed)[1] != 255).all() for seed in range(40))


def test_beyond_a_smaller_image_there_are_no_labels():
    draw = crops(scale_min=0.5, scale_max=0.5, aspect=1)
    for seed in range(20):
        _, labels = draw(seed)
        rows, columns = np.nonzero(labels.numpy() != 255)
        assert rows.max() - rows.min() + 1 == pytest.approx(32, abs=1)
        assert columns.max() - columns.min() + 1 == pytest.approx(48, abs=1)
        assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)


def test_a_crop_follows_from_its_seed_alone():
    draw = crops(color_jitter=0.4)
    torch.manual_seed(0)
    assert torch.equal(draw(1)[0], draw(1)[0])
    assert not torch.equal(draw(1)[0], draw(2)[0])


def test_no_jitter_leaves_colours_alone():
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    assert np.array_equal(jitter_color(image, 0, torch.Generator()), image)


def test_jitter_changes_colours_anew_each_time_but_not_what_is_seen():
    chance = torch.Generator().manual_seed(0)
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    image[8:24, 12:36] = (200, 120, 60)
    image[:8] = (90, 90, 90)
    jittered = [jitter_color(image, 0.4, chance) for _ in range(12)]
    assert all(other.shape == image.shape and other.dtype == np.uint8 for other in jittered)
    assert len({other.tobytes() for other in jittered}) == 12
    for other in jittered:
        inside = other[12:20, 16:32].reshape(-1, 3)
        assert (np.ptp(inside, axis=0) == 0).all()  # what was one colour still is
        assert inside[0].sum() > other[28, 24].sum()  # and what was brighter still is


def test_jitter_keeps_grey_nearly_grey():
    chance = torch.Generator().manual_seed(0)
    grey = np.full((8, 8, 3), 128, dtype=np.uint8)
    for _ in range(20):
        red, green, blue = jitter_color(grey, 0.4, chance)[4, 4].astype(float)
        assert abs(red / green - 1) <= 0.12
        assert abs(blue / green - 1) <= 0.12


def samples_with_a_dot():
    """Four pictures of class 0, of which the last has a dot of class 1; and what of each class each has."""
    labels = torch.zeros(4, *SIZE, dtype=torch.uint8)
    labels[3, 50:54, 80:84] = 1
    images = [torch.from_numpy(PALETTE[one.numpy()].transpose(2, 0, 1).copy()) for one in labels]
    pixels = np.array([[(one == index).sum() for index in range(2)] for one in labels])
    return list(zip(images, labels, strict=True)), ClassIndex(pixels)


def augmented(**settings):
    samples, index = samples_with_a_dot()
    config = TrainConfig(**{"data": Path(), "height": SIZE[0], "width": SIZE[1], "color_jitter": 0.0, **settings})
    return Augmented(samples, 4, config, index=index)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 0.17, 0.33), (1.0, 0.4, 0.6)])
def test_class_uniform_crops_hold_the_class_they_are_of(share, least, most):
    """Of the first picture, that fraction is of a class instead, which is the dot's half of the time."""
    dataset = augmented(class_uniform=share, scale_min=1.5, scale_max=4)
    shown = np.mean([(dataset[0, seed][1] == 1).any() for seed in range(300)])
    assert least <= shown <= most


def test_a_piece_of_a_rare_class_is_put_into_other_pictures_with_its_label():
    dataset = augmented(copy_paste=0.5, scale_min=1, scale_max=1.5)
    shown = 0
    for seed in range(60):
        image, labels = dataset[0, seed]
        piece = (labels == 1).numpy().astype(np.uint8)
        inside = cv2.erode(piece, np.ones((5, 5)), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        assert np.array_equal(image.permute(1, 2, 0).numpy()[inside], np.broadcast_to(PALETTE[1], (inside.sum(), 3)))
        shown += bool((labels == 1).any())
    assert 18 <= shown <= 42


@pytest.mark.parametrize(("flip", "orientations"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_crops_are_mirrored_as_told(flip, orientations):
    draw = crops(flip=flip, scale_min=1, scale_max=1, aspect=1)
    found = [draw(seed)[1] for seed in range(40)]
    kinds = {tuple(labels.flatten().tolist()): sum(torch.equal(labels, other) for other in found) for labels in found}
    assert len(kinds) == orientations
    assert min(kinds.values()) >= 3
    _, labels = encoded()
    ways = [labels, labels.flip(1), labels.flip(0), labels.flip(0, 1)]
    assert all(any(torch.equal(one, way) for way in ways) for one in found)
