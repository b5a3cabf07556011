"""A Segmenter with each fit: labels come back to where the picture has what they are of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeseg import Segmenter
from edgeseg.errors import SpecError
from edgeseg.refine.temporal import TemporalSmoother
from edgeseg.runtime.preprocess import to_input
from edgeseg.types import Frame, Result
from edgeseg.video.stage import Segment

FITS = ("stretch", "letterbox", "crop", "tile")
SIZES = [(32, 48), (96, 144), (120, 60), (60, 300), (17, 33), (200, 310)]


def quadrants(height, width):
    """Red, green, blue and red again around a point that is not the middle, and their labels."""
    labels = np.zeros((height, width), np.uint8)
    labels[: height * 2 // 5, width // 3 :] = 1
    labels[height * 2 // 5 :, : width // 3] = 2
    return (np.eye(3, dtype=np.uint8) * 200 + 20)[labels], labels


@pytest.mark.parametrize("model", ["tiny_onnx", "tiny_labels_onnx"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES)
def test_labels_lie_where_the_picture_has_them(request, model, fit, size):
    image, truth = quadrants(*size)
    segmenter = Segmenter.open(request.getfixturevalue(model), threads=1, fit=fit)
    labels = segmenter(image).labels
    assert labels.shape == size
    placement = segmenter.spec.place(size)
    seen = np.zeros(size, bool)
    seen[placement.seen.slices] = True
    assert (labels[~seen] == 255).all()
    assert seen.all() == (fit != "crop" or size[0] * 48 == size[1] * 32)
    # Of a model that sees 8x8 pixels at a time edges are blurred by four of its pixels to each side.
    (height, width), window = placement.seen.size, placement.window.size
    blur = 4.5 * max(height / window[0], width / window[1])
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    near = (abs(y - size[0] * 2 // 5) < blur) | (abs(x - size[1] // 3) < blur)
    np.testing.assert_array_equal(labels[seen & ~near], truth[seen & ~near])


@pytest.mark.parametrize("fit", ["letterbox", "crop", "tile"])
def test_an_edge_comes_back_within_half_a_pixel(tiny_onnx, fit):
    """The edge of the picture's halves is where the logits, straight between their centres, change over."""
    segmenter = Segmenter.open(tiny_onnx, threads=1, fit=fit)
    for width in range(40, 200, 7):
        image = np.zeros((120, width, 3), np.uint8)
        image[:, : width // 2, 0] = image[:, width // 2 :, 1] = 200
        labels = segmenter(image).labels
        row = labels[60]
        edges = np.flatnonzero(np.diff(row[row != 255].astype(int))) + 1 + np.flatnonzero(row != 255)[0]
        placement = segmenter.spec.place((120, width))
        scale = placement.seen.size[1] / placement.window.size[1]
        # Exact where the edge lies between cells or in the middle of one; elsewhere the cell's mean moves it.
        assert len(edges) == 1
        assert abs(edges[0] - width // 2) <= 0.5 + 2 * scale


def test_the_network_sees_a_letterboxed_picture_with_its_edge_repeated(tiny_onnx):
    image, _ = quadrants(64, 40)
    segmenter = Segmenter.open(tiny_onnx, threads=1, fit="letterbox")
    (inference,) = segmenter.infer([image])
    seen = inference.input_u8
    assert seen.shape == (32, 48, 3)
    assert (seen[:, :14] == seen[:, 14:15]).all()
    assert (seen[:, 34:] == seen[:, 33:34]).all()
    assert (seen[:, 14:34] == to_input(image, (32, 20))[0]).all()
    assert inference.size == (64, 40)


def test_what_the_border_says_is_never_read(tiny_onnx):
    image, _ = quadrants(64, 40)
    for refine in ("none", "guided", "crf"):
        segmenter = Segmenter.open(tiny_onnx, threads=1, fit="letterbox", refine=refine)
        (inference,) = segmenter.infer([image])
        loud = inference.output.copy()
        loud[..., :1] = loud[..., 5:] = [[[1e4]], [[0]], [[0]]]  # cells of which no centre lies in the picture
        expected = segmenter.finish(inference).labels
        np.testing.assert_array_equal(segmenter.finish(replace(inference, output=loud)).labels, expected)


@pytest.mark.parametrize("refine", ["crf", "guided"])
@pytest.mark.parametrize("fit", FITS)
def test_refined_labels_follow_the_edges_of_the_picture(tiny_onnx, refine, fit):
    size = (90, 110)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    inside = (x / size[1] - 0.5) ** 2 / 0.09 + (y / size[0] - 0.5) ** 2 / 0.06 < 1
    image = np.array([[120, 80, 80], [80, 120, 80]], np.uint8)[inside.astype(int)]
    before = Segmenter.open(tiny_onnx, threads=1, fit=fit)(image).labels
    after = Segmenter.open(tiny_onnx, threads=1, fit=fit, refine=refine)(image).labels
    seen = before != 255
    np.testing.assert_array_equal(after != 255, seen)
    assert (after != inside)[seen].mean() < 0.7 * (before != inside)[seen].mean()


@pytest.mark.parametrize("fit", FITS)
def test_labels_are_smoothed_over_time(tiny_onnx, fit):
    segmenter = Segmenter.open(tiny_onnx, threads=1, fit=fit)
    stage = Segment(segmenter, TemporalSmoother(1.0))
    image, _ = quadrants(90, 140)
    for index in range(3):
        result = stage(Result(Frame(image, index, index / 10, pts_s=index / 10)))
    assert result.segmentation is not None
    smoothed, alone = result.segmentation.labels, segmenter(image).labels
    np.testing.assert_array_equal(smoothed == 255, alone == 255)
    assert (smoothed == alone).mean() > 0.8  # edges, which are blurred in time as well


def test_pictures_of_several_shapes_pass_together(tiny_onnx):
    images = [quadrants(*size)[0] for size in SIZES]
    for fit in FITS:
        segmenter = Segmenter.open(tiny_onnx, threads=1, fit=fit)
        together = [segmenter.finish(one).labels for one in segmenter.infer(images)]
        for image, labels in zip(images, together, strict=True):
            np.testing.assert_array_equal(labels, segmenter(image).labels)


def test_the_fit_is_the_artifacts_unless_another_is_asked_for(tmp_path, write_onnx, tiny_spec):
    artifact = write_onnx(tmp_path / "tiles.onnx", spec_json=tiny_spec.fitted("tile", 0.5).to_json())
    spec = Segmenter.open(artifact).spec
    assert (spec.fit, spec.tile_scale) == ("tile", 0.5)
    spec = Segmenter.open(artifact, fit="letterbox").spec
    assert (spec.fit, spec.tile_scale) == ("letterbox", 1.0)
    assert Segmenter.open(artifact, tile_scale=2.0).spec.tile_scale == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fit": "pad"}, "fit is 'pad'.*stretch, letterbox, crop, tile"),
        ({"fit": "tile", "tile_scale": 0.0}, "tile_scale is 0"),
        ({"fit": "crop", "tile_scale": 0.5}, "tile_scale is 0.5, but fit is crop"),
    ],
)
def test_fits_that_cannot_be_are_refused(tiny_onnx, arguments, message):
    with pytest.raises(SpecError, match=message):
        Segmenter.open(tiny_onnx, **arguments)
