"""The street scene seen from outside: pictures, labels, and what must hold between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.synthetic import CAMVID_COLORS, CAMVID_NAMES, StreetScene, classes

SIZE = (180, 240)


@pytest.fixture(scope="module")
def scenes() -> list[StreetScene]:
    return [StreetScene(*SIZE, seed=seed) for seed in range(6)]


def test_names_and_colors_are_the_eleven_of_camvid() -> None:
    assert CAMVID_NAMES[classes.PAVEMENT] == "pavement"
    assert CAMVID_NAMES[classes.BICYCLIST] == "bicyclist"
    assert len(CAMVID_NAMES) == len(set(CAMVID_NAMES)) == 11
    assert len(CAMVID_COLORS) == len(set(CAMVID_COLORS)) == 11


@pytest.mark.parametrize(("height", "width"), [(64, 64), (360, 480), (720, 1280), (97, 333), (240, 100)])
def test_any_size_gives_image_and_labels_of_that_size(height: int, width: int) -> None:
    rgb, labels = StreetScene(height, width, seed=3).render(1.5)
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert labels.shape == (height, width)
    assert labels.dtype == np.uint8
    assert labels.flags.c_contiguous
    assert {classes.SKY, classes.ROAD} <= set(np.unique(labels).tolist())


def test_same_seed_size_and_time_give_the_same_bytes_whatever_was_rendered_before(scenes: list[StreetScene]) -> None:
    wandered = scenes[1]
    for time_s in (9.0, 0.0, 123.4):
        wandered.render(time_s)
    rgb, labels = wandered.render(4.2)
    fresh_rgb, fresh_labels = StreetScene(*SIZE, seed=1).render(4.2)
    assert np.array_equal(rgb, fresh_rgb)
    assert np.array_equal(labels, fresh_labels)


def test_another_seed_is_another_street(scenes: list[StreetScene]) -> None:
    first, second = scenes[0].render(0.0)[1], scenes[1].render(0.0)[1]
    assert np.mean(first != second) > 0.1


def test_every_class_appears_and_no_other_label_but_void(scenes: list[StreetScene]) -> None:
    seen: set[int] = set()
    for scene in scenes:
        for time_s in (0.0, 7.0, 19.0):
            seen |= set(np.unique(scene.render(time_s)[1]).tolist())
    assert seen - {classes.VOID} == set(range(len(CAMVID_NAMES)))


def test_void_is_the_bonnet_only() -> None:
    shares = []
    for seed in (0, 9, 10, 15):  # some cars show their bonnet, some do not
        labels = StreetScene(64, 96, seed=seed).render(3.0)[1]
        void = labels == classes.VOID
        shares.append(float(void.mean()))
        assert not void[: labels.shape[0] * 3 // 4].any()
    assert 0.0 < max(shares) < 0.15
    assert min(shares) == 0.0


def test_consecutive_frames_share_most_labels_and_the_street_moves_on(scenes: list[StreetScene]) -> None:
    for scene in scenes:
        now, soon, later = (scene.render(t)[1] for t in (10.0, 10.0 + 1 / 15, 13.0))
        assert np.mean(now == soon) > 0.9
        assert np.mean(now == later) < np.mean(now == soon)


def test_textures_stay_with_the_world(scenes: list[StreetScene]) -> None:
    """What a millisecond changes is sensor noise: far less than what textures and edges amount to."""
    for scene in scenes:
        first, second = (scene.render(t)[0].astype(np.float32) for t in (5.0, 5.001))
        steady = cv2.GaussianBlur(first, (0, 0), 3) - cv2.GaussianBlur(second, (0, 0), 3)
        assert np.abs(steady).mean() < 1.0


def test_sky_lies_above_the_road(scenes: list[StreetScene]) -> None:
    rows = np.arange(SIZE[0])[:, None] / SIZE[0]
    for scene in scenes:
        labels = scene.render(2.0)[1]
        sky, road = labels == classes.SKY, labels == classes.ROAD
        assert (rows * sky).max() < 0.6
        assert np.where(road, rows, 1.0).min() > 0.35
        assert np.median(np.broadcast_to(rows, SIZE)[road]) > 0.6


def test_labels_lie_where_the_picture_has_them(scenes: list[StreetScene]) -> None:
    """Moved labels explain the picture worse: within-class variance is least where labels and pixels agree."""

    def unexplained(rgb: np.ndarray, labels: np.ndarray) -> float:
        left = 0.0
        for label in np.unique(labels):
            pixels = rgb[labels == label]
            left += float(((pixels - pixels.mean(axis=0)) ** 2).sum())
        return left

    for scene in scenes:
        rgb, labels = scene.render(6.0)
        inner = rgb[10:-10, 10:-10].astype(np.float64)
        true = unexplained(inner, labels[10:-10, 10:-10])
        for dy, dx in ((4, 0), (-4, 0), (0, 4), (0, -4)):
            moved = labels[10 + dy : SIZE[0] - 10 + dy, 10 + dx : SIZE[1] - 10 + dx]
            assert true < unexplained(inner, moved)


def test_the_street_never_ends_and_has_a_past(scenes: list[StreetScene]) -> None:
    for time_s in (-30.0, 1e4, 1e7):
        labels = scenes[2].render(time_s)[1]
        assert np.mean(labels == classes.ROAD) > 0.1


@pytest.mark.parametrize(
    "arguments",
    [{"height": 0}, {"width": -5}, {"height": 10**6}, {"seed": -1}, {"seed": 1.5}, {"width": "480"}, {"seed": True}],
)
def test_bad_arguments_name_what_is_wrong(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(arguments))):
        StreetScene(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), "1", None])
def test_bad_time_is_refused(scenes: list[StreetScene], time_s: object) -> None:
    with pytest.raises(InputError, match="time"):
        scenes[0].render(time_s)  # type: ignore[arg-type]
