"""Smoothing over time: still where the scene is, along with what moves, and gone after a cut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import InputError, ModelError
from edgeseg.refine.temporal import TemporalSmoother
from edgeseg.segmenter import Segmenter
from edgeseg.types import Frame, Result
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.stage import Segment, smoother_for

SIZE = (192, 256)  # logits at stride 8: 24x32


def _texture(seed: int = 0) -> np.ndarray:
    """Smooth noise that optical flow can hold on to, wider than the picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (640, 320), interpolation=cv2.INTER_CUBIC), np.uint8)


def _scene(shift: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture that has moved ``shift`` pixels to the left, and where its class 1 lies then."""
    x = slice(shift, shift + SIZE[1])
    blob = np.zeros((320, 640), np.float32)
    blob[60:140, 100:220] = 1
    return np.ascontiguousarray(_texture(seed)[: SIZE[0], x]), blob[: SIZE[0], x][4::8, 4::8]


def _logits(where: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Class 1 there and class 0 elsewhere, by a margin of 2, and noise."""
    logits = np.stack([2 * (1 - where), 2 * where]).astype(np.float32)[np.newaxis]
    return logits + noise * np.random.default_rng(seed).standard_normal(logits.shape, dtype=np.float32)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_the_first_frame_is_what_the_network_says() -> None:
    image, where = _scene(0)
    np.testing.assert_allclose(TemporalSmoother()(_logits(where), image, 0.0), _log_softmax(_logits(where)), atol=1e-5)


def test_noise_dies_away_where_nothing_moves() -> None:
    image, where = _scene(0)
    smoother = TemporalSmoother()
    wrong, wrong_alone = [], []
    for index in range(20):
        logits = _logits(where, noise=2.0, seed=index)
        smoothed = smoother(logits, image, index / 15)
        wrong.append(np.mean(smoothed[0].argmax(0) != where))
        wrong_alone.append(np.mean(logits[0].argmax(0) != where))
    assert np.mean(wrong[10:]) < 0.4 * np.mean(wrong_alone[10:])


@pytest.mark.parametrize("fps", [5, 15, 30, 60, 120])
def test_the_past_fades_with_time_and_not_with_frames(fps: float) -> None:
    """What the network said before is down to 1/e after the memory's seconds, whatever the frame rate."""
    image, _ = _scene(0)
    smoother = TemporalSmoother(memory_s=0.4)
    before, after = _logits(np.ones((24, 32), np.float32)), _logits(np.zeros((24, 32), np.float32))
    smoother(before, image, 0.0)
    for index in range(1, round(0.4 * fps) + 1):
        smoothed = smoother(after, image, index / fps)
    first, last = (np.exp(_log_softmax(logits))[0, 1] for logits in (before, after))
    remains = (np.exp(smoothed[0, 1]) - last) / (first - last)
    assert remains.mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_uneven_steps_fade_as_even_ones_do() -> None:
    image, _ = _scene(0)
    before, after = _logits(np.ones((24, 32), np.float32)), _logits(np.zeros((24, 32), np.float32))
    ends = []
    for times_s in ([0.1, 0.2, 0.3], [0.3], [0.01, 0.25, 0.3]):
        smoother = TemporalSmoother()
        smoother(before, image, 0.0)
        for time_s in times_s:
            smoothed = smoother(after, image, time_s)
        ends.append(np.exp(smoothed[0, 1]).mean())
    assert ends == pytest.approx([ends[0]] * 3, abs=0.005)


def test_without_memory_each_frame_is_what_the_network_says() -> None:
    image, where = _scene(0)
    smoother = TemporalSmoother(memory_s=0)
    for index in range(3):
        logits = _logits(where, noise=1.0, seed=index)
        np.testing.assert_allclose(smoother(logits, image, index / 15), _log_softmax(logits), atol=1e-4)


def test_stills_follow_at_a_usual_pace_however_fast_they_are_read(tiny_onnx: Path) -> None:
    seen_s: list[float] = []

    class Clock(TemporalSmoother):
        def __call__(self, logits: np.ndarray, image: np.ndarray, time_s: float, stream: str = "") -> np.ndarray:
            seen_s.append(time_s)
            return super().__call__(logits, image, time_s, stream)

    picture = np.zeros((32, 48, 3), np.uint8)
    with Segmenter.open(tiny_onnx, threads=1) as segmenter:
        stage = Segment(segmenter, Clock())
        for frame in (
            Frame(picture, 0, 100.0, name="a"),
            Frame(picture, 1, 100.001, name="b"),
            Frame(picture, 2, 7.0),
            Frame(picture, 3, 7.0, pts_s=0.5, name="c"),
        ):
            stage(Result(frame))
    assert seen_s == pytest.approx([0.0, 1 / 15, 7.0, 0.5])


def test_what_moves_is_followed_and_leaves_no_trail() -> None:
    smoother, without = TemporalSmoother(memory_s=0.63), None
    for index in range(12):
        image, where = _scene(8 * index)
        logits = _logits(where)
        smoothed = smoother(logits, image, index / 15)
        now = np.exp(_log_softmax(logits))
        without = now if without is None else 0.9 * without + 0.1 * now
    assert without is not None
    trail = np.mean(without[0].argmax(0) != where)
    assert np.mean(smoothed[0].argmax(0) != where) < 0.25 * trail


def test_a_cut_begins_anew() -> None:
    smoother = TemporalSmoother(memory_s=0.63)
    for index in range(5):
        smoother(_logits(_scene(0)[1]), _scene(0)[0], index / 15)
    image, _ = _scene(0, seed=1)
    nothing = np.zeros((24, 32), np.float32)
    smoothed = smoother(_logits(nothing), image, 5 / 15)
    np.testing.assert_allclose(smoothed, _log_softmax(_logits(nothing)), atol=1e-5)


@pytest.mark.parametrize(
    ("time_s", "stream"), [(5.0, "a"), (0.0, "a"), (-1.0, "a"), (0.1, "b")], ids=["gap", "same", "back", "other stream"]
)
def test_what_does_not_follow_begins_anew(time_s: float, stream: str) -> None:
    smoother = TemporalSmoother()
    image, where = _scene(0)
    smoother(_logits(where), image, 0.0, "a")
    logits = _logits(1 - where)
    np.testing.assert_allclose(smoother(logits, image, time_s, stream), _log_softmax(logits), atol=1e-5)


@pytest.mark.parametrize("size", [(192, 200), (16, 16), (1, 1), (8, 300)])
def test_other_sizes_begin_anew_and_the_smallest_are_left_alone(size: tuple[int, int]) -> None:
    smoother = TemporalSmoother()
    image, where = _scene(0)
    smoother(_logits(where), image, 0.0)
    small = np.zeros((*size, 3), np.uint8)
    logits = np.random.default_rng(0).standard_normal((1, 2, -(-size[0] // 8), -(-size[1] // 8)), dtype=np.float32)
    for index in range(3):
        assert smoother(logits, small, 0.1 + index / 15).shape == logits.shape


def test_its_arguments_stay_as_they_are() -> None:
    smoother = TemporalSmoother()
    image, where = _scene(0)
    logits = _logits(where)
    before = image.copy(), logits.copy()
    for index in range(2):
        smoother(logits, image, index / 15)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(logits, before[1])


@pytest.mark.parametrize(
    "arguments", [{"memory_s": -0.1}, {"memory_s": float("nan")}, {"memory_s": float("inf")}, {"sigma": 0.0}]
)
def test_values_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError):
        TemporalSmoother(**arguments)


def test_a_model_that_returns_labels_cannot_be_smoothed(tiny_labels_onnx: Path) -> None:
    with Segmenter.open(tiny_labels_onnx, threads=1) as segmenter, pytest.raises(ModelError, match="--head logits"):
        Segment(segmenter, TemporalSmoother())


def test_live_sources_are_smoothed_unless_told_otherwise(tiny_onnx: Path, tiny_labels_onnx: Path) -> None:
    live, film = StreamInfo("camera:0", live=True), StreamInfo("a.mp4", live=False)
    with Segmenter.open(tiny_onnx, threads=1) as logits, Segmenter.open(tiny_labels_onnx, threads=1) as labels:
        assert smoother_for(None, [live], logits.spec) is not None
        assert smoother_for(None, [live, film], logits.spec) is None
        assert smoother_for(None, [live], labels.spec) is None
        assert smoother_for(False, [live], logits.spec) is None
        assert smoother_for(True, [film], logits.spec) is not None


def test_the_stage_tells_how_long_it_took(tiny_onnx: Path) -> None:
    with Segmenter.open(tiny_onnx, threads=1) as segmenter:
        result = Segment(segmenter, TemporalSmoother())(Result(Frame(_scene(0)[0], 0, 0.0)))
    assert list(result.latency_ms) == ["preprocess", "infer", "temporal", "postprocess"]
