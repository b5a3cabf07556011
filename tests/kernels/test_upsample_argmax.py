"""edgeseg._native.upsample_argmax against a slow, obvious NumPy version."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg._native import upsample_argmax

pytestmark = pytest.mark.any_version

ROUNDING = 1e-5
"""Two logits (of size 1) may change places where they are this close: float32 against float64."""


def interpolation(source: int, target: int) -> NDArray[np.float64]:
    """(target, source) weights of linear interpolation with pixel centres at halves, the ends held."""
    weights = np.zeros((target, source))
    for i in range(target):
        position = max((i + 0.5) * source / target - 0.5, 0.0)
        low = int(position)
        weights[i, low] += 1.0 - (position - low)
        weights[i, min(low + 1, source - 1)] += position - low
    return weights


def upsampled(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """(N, C, height, width) logits, in float64."""
    rows = interpolation(logits.shape[2], height)
    columns = interpolation(logits.shape[3], width)
    full: NDArray[np.float64] = rows @ logits.astype(np.float64) @ columns.T
    return full


def assert_labels_are_argmax(labels: NDArray[np.uint8], full: NDArray[np.float64]) -> None:
    assert labels.dtype == np.uint8
    assert labels.shape == (full.shape[0], *full.shape[2:])
    chosen = np.take_along_axis(full, labels[:, None].astype(np.int64), axis=1)[:, 0]
    np.testing.assert_array_less(full.max(axis=1) - chosen, ROUNDING)


def random_logits(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def smooth_logits(classes: int, height: int, width: int) -> NDArray[np.float32]:
    """Logits whose winners make regions, so that most cells have one class and the others few contenders."""
    coarse = random_logits(1, classes, 4, 5, seed=1)
    return upsampled(coarse, height, width).astype(np.float32)


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 1, 1, 1), (1, 1)),
        ((1, 3, 1, 1), (7, 9)),
        ((1, 5, 1, 6), (3, 50)),
        ((1, 5, 6, 1), (50, 3)),
        ((1, 1, 4, 5), (32, 40)),
        ((1, 255, 3, 4), (24, 32)),
        ((1, 11, 9, 12), (72, 96)),  # stride 8
        ((1, 11, 9, 12), (67, 93)),  # stride 8, the last cells cut
        ((1, 19, 8, 11), (16, 22)),  # stride 2
        ((1, 19, 8, 11), (8, 11)),  # the same size
        ((1, 7, 20, 30), (9, 13)),  # smaller
        ((1, 7, 20, 5), (9, 60)),  # smaller and wider
        ((1, 7, 5, 20), (60, 9)),  # taller and narrower
        ((1, 7, 5, 6), (17, 7)),
        ((4, 6, 5, 7), (33, 45)),  # four images
        ((2, 11, 45, 60), (360, 480)),  # enough for a second thread
    ],
)
def test_random_logits(shape: tuple[int, int, int, int], size: tuple[int, int], threads: int) -> None:
    logits = random_logits(*shape)
    assert_labels_are_argmax(upsample_argmax(logits, *size, threads), upsampled(logits, *size))


def test_many_random_shapes() -> None:
    rng = np.random.default_rng(5)
    for seed in range(200):
        shape = (int(rng.integers(1, 3)), int(rng.integers(1, 14)), int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        height, width = (int(side) for side in rng.integers(1, 80, 2))
        logits = random_logits(*shape, seed=seed)
        assert_labels_are_argmax(upsample_argmax(logits, height, width), upsampled(logits, height, width))


@pytest.mark.parametrize("size", [(360, 480), (90, 120), (361, 487), (30, 40)])
def test_smooth_logits(size: tuple[int, int]) -> None:
    logits = smooth_logits(11, 45, 60)
    assert_labels_are_argmax(upsample_argmax(logits, *size), upsampled(logits, *size))


def test_a_class_that_wins_at_no_source_pixel_can_win_between_them() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.8]], np.float32).reshape(1, 3, 1, 2)
    labels = upsample_argmax(logits, 1, 16)
    assert_labels_are_argmax(labels, upsampled(logits, 1, 16))
    assert set(labels.ravel()) == {0, 1, 2}


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_of_equal_classes_the_first_wins(factor: int) -> None:
    """Whole logits and weights that are exact in binary: what ties in float64 ties in float32 too."""
    logits = np.round(random_logits(1, 6, 12, 12))
    labels = upsample_argmax(logits, 12 * factor, 12 * factor)
    np.testing.assert_array_equal(labels, upsampled(logits, 12 * factor, 12 * factor).argmax(axis=1))


@pytest.mark.parametrize("factor", [3, 5, 7])
def test_of_equal_classes_the_first_wins_where_a_target_pixel_is_a_source_pixel(factor: int) -> None:
    logits = np.round(random_logits(1, 6, 12, 12))
    labels = upsample_argmax(logits, 12 * factor, 12 * factor)
    centres = slice(factor // 2, None, factor)
    np.testing.assert_array_equal(labels[:, centres, centres], logits.argmax(axis=1))


def test_nan_never_wins() -> None:
    logits = random_logits(1, 4, 5, 6)
    logits[0, 2] = np.nan
    labels = upsample_argmax(logits, 40, 48)
    without = logits.copy()
    without[0, 2] = -100.0
    np.testing.assert_array_equal(labels, upsample_argmax(without, 40, 48))


def test_threads_do_not_change_the_result() -> None:
    logits = random_logits(3, 11, 45, 60)
    one = upsample_argmax(logits, 360, 480, threads=1)
    for threads in (0, 2, 7):
        np.testing.assert_array_equal(upsample_argmax(logits, 360, 480, threads=threads), one)


def test_out_is_written_and_returned() -> None:
    logits = random_logits(1, 3, 4, 4)
    out = np.full((1, 32, 32), 99, np.uint8)
    assert upsample_argmax(logits, 32, 32, out=out) is out
    np.testing.assert_array_equal(out, upsample_argmax(logits, 32, 32))


def test_nothing_is_written_outside_out() -> None:
    logits = random_logits(1, 3, 5, 5)
    for height, width in [(37, 43), (5, 5), (40, 41)]:
        memory = np.full((height + 2, width), 99, np.uint8)
        upsample_argmax(logits, height, width, out=memory[None, 1:-1])
        assert (memory[[0, -1]] == 99).all()
        assert (memory[1:-1] < 3).all()


def test_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    inputs = [random_logits(1, 11, 45, 60, seed=seed) for seed in range(8)]
    expected = [upsample_argmax(logits, 360, 480, threads=1) for logits in inputs]
    with ThreadPoolExecutor(4) as executor:
        for _ in range(5):
            results = executor.map(lambda logits: upsample_argmax(logits, 360, 480, threads=2), inputs)
            for labels, labels_alone in zip(results, expected, strict=True):
                np.testing.assert_array_equal(labels, labels_alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    logits = random_logits(1, 11, 45, 60)
    expected = upsample_argmax(logits, 360, 480, threads=2)  # starts the parent's threads
    child = os.fork()
    if child == 0:
        same = np.array_equal(upsample_argmax(logits, 360, 480, threads=2), expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"logits": np.zeros((3, 4, 4), np.float32)},
            r"logits must be \(N, C, h, w\) float32.*got \(3, 4, 4\)",
        ),
        ({"logits": np.zeros((1, 3, 4, 4))}, "got .* float64"),
        ({"logits": np.zeros((1, 3, 4, 4), np.float32).swapaxes(2, 3)[..., :2]}, "not C-contiguous"),
        ({"logits": np.zeros((1, 0, 4, 4), np.float32)}, "no side empty"),
        ({"logits": np.zeros((0, 3, 4, 4), np.float32)}, "no side empty"),
        ({"logits": np.zeros((1, 256, 2, 2), np.float32)}, "at most 255 classes"),
        ({"logits": np.zeros((1, 1, 1, 32768), np.float32)}, "32767"),
        ({"height": 0}, "height and width"),
        ({"width": -3}, "height and width"),
        ({"width": 32768}, "height and width"),
        ({"threads": -1}, "threads"),
        ({"out": np.zeros((1, 8, 9), np.uint8)}, r"out must be \(1, 8, 8\) uint8.*got \(1, 8, 9\) uint8"),
        ({"out": np.zeros((8, 8), np.uint8)}, "out must be"),
        ({"out": np.zeros((1, 8, 8), np.int64)}, "got .* int64"),
        ({"out": np.zeros((1, 8, 16), np.uint8)[..., ::2]}, "not C-contiguous"),
        ({"out": np.broadcast_to(np.uint8(0), (1, 8, 8))}, "writable"),
        ({"out": [0]}, "writable"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"logits": np.zeros((1, 3, 4, 4), np.float32), "height": 8, "width": 8}
    with pytest.raises(ValueError, match=message):
        upsample_argmax(**(arguments | change))  # type: ignore[arg-type]


def test_what_is_no_array_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        upsample_argmax([[1.0]], 8, 8)  # type: ignore[arg-type]


Span = tuple[int, int, int]


def interpolation_within(source: int, target: int, span: Span) -> NDArray[np.float64]:
    """(target, source) weights where the target covers a span of the source; centres outside of it are not read."""
    begin, end, whole = span
    inside = [k for k in range(source) if begin <= (k + 0.5) / source * whole <= end]
    first, last = (inside[0], inside[-1]) if inside else [(source * (begin + end)) // (2 * whole)] * 2
    weights = np.zeros((target, source))
    for i in range(target):
        position = source * (begin + (i + 0.5) / target * (end - begin)) / whole - 0.5
        position = min(max(position, first), last)
        low = int(position)
        weights[i, low] += 1.0 - (position - low)
        weights[i, min(low + 1, source - 1)] += position - low
    return weights


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("shape", "size", "rows", "columns"),
    [
        ((1, 11, 45, 60), (360, 270), (0, 360, 360), (105, 375, 480)),  # letterboxed: cells and border share pixels
        ((1, 11, 45, 60), (720, 540), (0, 360, 360), (105, 375, 480)),
        ((1, 5, 9, 12), (10, 11), (3, 70, 72), (1, 95, 96)),  # smaller than the logits
        ((1, 3, 4, 5), (40, 40), (12, 13, 32), (7, 8, 40)),  # between two centres
        ((2, 6, 5, 7), (33, 45), (0, 1, 3), (1, 3, 3)),
        ((1, 4, 6, 6), (50, 50), (1 << 19, 1 << 20, 1 << 20), (7, (1 << 20) - 3, 1 << 20)),  # beyond 32 bits
    ],
)
def test_a_part_of_the_logits(
    shape: tuple[int, int, int, int], size: tuple[int, int], rows: Span, columns: Span, threads: int
) -> None:
    logits = random_logits(*shape)
    across = interpolation_within(shape[2], size[0], rows), interpolation_within(shape[3], size[1], columns)
    full = across[0] @ logits.astype(np.float64) @ across[1].T
    assert_labels_are_argmax(upsample_argmax(logits, *size, threads, rows=rows, columns=columns), full)


def test_many_random_parts() -> None:
    rng = np.random.default_rng(6)
    for seed in range(200):
        shape = (1, int(rng.integers(1, 9)), int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        height, width = (int(side) for side in rng.integers(1, 80, 2))
        spans = []
        for _ in range(2):
            whole = int(rng.integers(1, 50))
            begin, end = sorted(rng.choice(whole + 1, 2, replace=False).tolist())
            spans.append((begin, end, whole))
        logits = random_logits(*shape, seed=seed)
        across = (interpolation_within(*sides) for sides in zip(shape[2:], (height, width), spans, strict=True))
        rows, columns = across
        full = rows @ logits.astype(np.float64) @ columns.T
        labels = upsample_argmax(logits, height, width, rows=spans[0], columns=spans[1])
        assert_labels_are_argmax(labels, full)


def test_all_of_the_logits_however_they_are_counted() -> None:
    logits = np.round(random_logits(1, 6, 12, 12))
    expected = upsample_argmax(logits, 67, 93)
    np.testing.assert_array_equal(upsample_argmax(logits, 67, 93, rows=(0, 96, 96), columns=(0, 7, 7)), expected)


def test_what_lies_outside_of_the_part_is_not_read() -> None:
    logits = random_logits(1, 4, 8, 8)
    inside = upsample_argmax(logits, 30, 30, rows=(16, 48, 64), columns=(20, 44, 64))
    logits[:, 3, :2] = logits[:, 3, 6:] = 100
    logits[:, 3, :, :2] = logits[:, 3, :, 6:] = 100
    np.testing.assert_array_equal(upsample_argmax(logits, 30, 30, rows=(16, 48, 64), columns=(20, 44, 64)), inside)


@pytest.mark.parametrize("span", [(-1, 4, 8), (4, 4, 8), (5, 4, 8), (0, 9, 8), (0, 1, 0), (0, 1, (1 << 20) + 1)])
@pytest.mark.parametrize("name", ["rows", "columns"])
def test_parts_that_are_none_are_refused(name: str, span: Span) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        upsample_argmax(np.zeros((1, 3, 4, 4), np.float32), 8, 8, **{name: span})  # type: ignore[arg-type]
