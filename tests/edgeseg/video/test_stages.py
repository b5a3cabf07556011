"""The stages with a real model: the brightest colour channel of ``tiny_onnx``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.segmenter import Segmenter
from edgeseg.types import Frame, LabelsU8, Result
from edgeseg.video.stage import Overlay, Score, Segment


@pytest.fixture
def segment(tiny_onnx: Path) -> Iterator[Segment]:
    """The Segment stage of the tiny model."""
    with Segmenter.open(tiny_onnx, threads=1) as segmenter:
        yield Segment(segmenter)


def _red_above_blue(height: int, width: int, labels_u8: LabelsU8 | None = None) -> Result:
    rgb_u8 = np.zeros((height, width, 3), dtype=np.uint8)
    rgb_u8[: height // 2, :, 0] = 200
    rgb_u8[height // 2 :, :, 2] = 200
    return Result(Frame(rgb_u8, 0, 0.0, labels_u8=labels_u8))


def test_segment_labels_the_frame_at_its_own_size(segment: Segment) -> None:
    result = segment(_red_above_blue(64, 96))
    assert result.segmentation is not None
    labels = result.segmentation.labels
    assert labels.shape == (64, 96)
    assert (labels[:28] == 0).all()
    assert (labels[36:] == 2).all()
    assert list(result.latency_ms) == ["preprocess", "infer", "postprocess"]


def test_overlay_mixes_colours_and_leaves_the_frame_alone(segment: Segment) -> None:
    result = segment(_red_above_blue(64, 96))  # too small for words
    before = result.frame.rgb_u8.copy()
    picture = Overlay(0.5, threads=1)(result).overlay_rgb_u8
    assert picture is not None
    np.testing.assert_array_equal(result.frame.rgb_u8, before)
    np.testing.assert_allclose(picture[0, 0], (200 * 0.5 + 255 * 0.5, 0, 0), atol=1)
    np.testing.assert_allclose(picture[-1, -1], (0, 0, 200 * 0.5 + 255 * 0.5), atol=1)
    assert "overlay" in result.latency_ms


def test_the_legend_shows_the_classes_in_sight_alone(segment: Segment) -> None:
    result = segment(_red_above_blue(360, 480))
    picture = Overlay(0.0, threads=1)(result).overlay_rgb_u8
    assert picture is not None
    bar = picture[-40:].reshape(-1, 3)
    swatches = {tuple(map(int, color)) for color in np.unique(bar, axis=0)}
    assert (255, 0, 0) in swatches
    assert (0, 0, 255) in swatches
    assert (0, 255, 0) not in swatches
    corner = picture[:20, :80].reshape(-1, 3)
    assert (corner.min(axis=1) > 200).any(), "the latency is written in white"
    middle = slice(40, 300)
    np.testing.assert_array_equal(picture[middle], result.frame.rgb_u8[middle])


def test_the_latency_of_the_refinement_is_written_where_there_is_one(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("edgeseg.video.stage.draw_status", lambda picture, text: written.append(text))
    for refine in ("none", "guided"):
        with Segmenter.open(tiny_onnx, threads=1, refine=refine) as segmenter:
            Overlay(threads=1)(Segment(segmenter)(_red_above_blue(64, 96)))
    alone, refined = written
    assert re.fullmatch(r"\d+\.\d ms", alone)
    assert re.fullmatch(r"\d+\.\d ms \(refine \d+\.\d\)", refined)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (99, 99), (100, 100), (101, 2000), (2000, 101)])
def test_overlay_of_any_size(segment: Segment, height: int, width: int) -> None:
    picture = Overlay(threads=1)(segment(_red_above_blue(height, width))).overlay_rgb_u8
    assert picture is not None
    assert picture.shape == (height, width, 3)


def test_score_counts_labelled_frames_alone(segment: Segment) -> None:
    score = Score(3)
    labels_u8 = np.full((64, 96), 255, dtype=np.uint8)
    labels_u8[:20] = 0
    labels_u8[44:] = 1  # it is blue: class 2
    score(segment(_red_above_blue(64, 96, labels_u8)))
    score(segment(_red_above_blue(64, 96)))
    assert score.frames == 1
    assert score.confusion.iou()[:3] == pytest.approx([1.0, 0.0, 0.0])
    assert score.confusion.miou() == pytest.approx(1 / 3)
    assert score.left_out() == ""


def test_classes_that_were_not_seen_are_named_beside_the_mean(segment: Segment) -> None:
    score = Score(3)
    assert score.left_out() == ""
    score(segment(_red_above_blue(64, 96, np.zeros((64, 96), dtype=np.uint8))))
    assert score.left_out() == "over 2 of 3 classes; no pixel of green"


def test_stages_out_of_order_are_refused() -> None:
    for stage in (Overlay(), Score(3)):
        with pytest.raises(InputError, match="Put Segment before this stage"):
            stage(_red_above_blue(8, 8, np.zeros((8, 8), dtype=np.uint8)))
    with pytest.raises(InputError, match=r"opacity is 1\.5"):
        Overlay(1.5)
