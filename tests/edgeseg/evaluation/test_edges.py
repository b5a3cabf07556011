"""Edges are thinned, matched and measured as BSDS500's benchmark does it."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.artifact.onnx import set_spec
from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.edges import edges_of
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.evaluation.edges import EdgeCounts, count_edges, edge_probability, evaluate_edges, matches, thin
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.synthetic import StreetScene

pytest.importorskip("scipy", reason="pip install 'edgeseg[edges]'")


def of_rows(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


def blobs(seed, size=(60, 80)):
    noise = np.random.default_rng(seed).random(size, np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2) > 0.52


def test_thinning_leaves_lines():
    thick = of_rows(
        "..............",
        ".###########..",
        ".###########..",
        ".###########..",
        ".......####...",
        ".......####...",
        ".......####...",
        "..............",
    )
    thinned = of_rows(
        "..............",
        "..............",
        "..#####.......",
        ".......###....",
        "........#.....",
        "........#.....",
        "..............",
        "..............",
    )
    assert thin(thick).tolist() == thinned.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_thinning_keeps_what_hangs_together_and_is_done_once(seed):
    mask = blobs(seed)
    lines = thin(mask)
    assert not (lines & ~mask).any()
    assert lines.sum() < mask.sum() / 2
    assert cv2.connectedComponents(lines.astype(np.uint8))[0] == cv2.connectedComponents(mask.astype(np.uint8))[0]
    assert (thin(lines) == lines).all()


@pytest.mark.parametrize("seed", range(4))
def test_thinning_is_that_of_scikit_image(seed):
    morphology = pytest.importorskip("skimage.morphology", reason="pip install scikit-image")
    assert (thin(blobs(seed)) == morphology.thin(blobs(seed))).all()


@pytest.mark.parametrize("reach", [1.0, 1.5, 2.9, 4.5])
def test_as_many_pairs_are_found_as_there_can_be(reach):
    """Against SciPy's assignment of least cost, which knows nothing of graphs."""
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(int(10 * reach))
    one, other = (rng.random((12, 15)) < 0.2 for _ in range(2))
    apart = np.hypot(*(np.subtract.outer(a, b) for a, b in zip(np.nonzero(one), np.nonzero(other), strict=True)))
    cost = np.where(apart <= reach, 0, 1)
    assert matches(one, other, reach) == (cost[linear_sum_assignment(cost)] == 0).sum()
    assert matches(other, one, reach) == matches(one, other, reach)


def test_nothing_matches_nothing():
    assert matches(np.zeros((5, 6), bool), np.ones((5, 6), bool), 2) == 0
    assert matches(np.ones((5, 6), bool), np.zeros((5, 6), bool), 2) == 0


def counted(labels, probability, **how):
    return count_edges([(labels.astype(np.uint8), probability.astype(np.float32))], **how)


def test_an_edge_may_be_off_by_the_tolerance():
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 40] = 1
    for off, expected in ((0, 1.0), (3, 1.0), (4, 0.0)):
        counts = counted(labels, np.roll(labels, off, 1), tolerance=0.03)  # 3 pixels of 100
        assert counts.ods()[0] == counts.ois() == pytest.approx(expected)


def test_what_is_not_known_costs_nothing():
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 40] = 1
    says_more = labels.copy()
    says_more[:, 60] = 1
    assert counted(labels, says_more).ods()[0] == pytest.approx(2 / 3)
    labels[:, 55:65] = 255
    assert counted(labels, says_more).ods()[0] == pytest.approx(1)


def test_figures_of_known_counts():
    """Of two pictures with 10 pixels of edges each, at three thresholds."""
    counts = EdgeCounts(
        thresholds=np.array([0.25, 0.5, 0.75]),
        true=np.array([10, 10]),
        said=np.array([[20, 10, 4], [40, 20, 10]]),
        matched=np.array([[10, 8, 4], [10, 6, 5]]),
    )
    assert counts.recall() == pytest.approx([1, 0.7, 0.45])
    assert counts.precision() == pytest.approx([1 / 3, 14 / 30, 9 / 14])
    f, threshold = counts.ods()
    assert pytest.approx(0.56) == 2 * 0.7 * (14 / 30) / (0.7 + 14 / 30)
    assert 0.56 < f < 0.57  # the best lies between two
    assert 0.5 < threshold < 0.75
    assert counts.ois() == pytest.approx(2 * 13 / (20 + 20))  # 8 of 10 and 5 of 10
    recall = np.arange(101) / 100
    slopes = np.interp(recall, [0.45, 0.7, 1], [9 / 14, 14 / 30, 1 / 3])
    assert counts.ap() == pytest.approx(slopes[45:].sum() / 100)


def test_figures_are_those_of_an_independent_implementation():
    """PyEdgeEval 0.2.8, which has the benchmark's own C++, found these; its matching is not always the best."""
    pairs = []
    for seed in range(3):
        image, labels = StreetScene(180, 240, seed=seed).render(0.0)
        edges = edges_of(labels)
        near = np.roll(edges == 1, (1, -1), (0, 1)).astype(np.float32)
        false = cv2.Canny(np.ascontiguousarray(image), 100, 200) / np.float32(255)
        noise = np.random.default_rng(seed).random(edges.shape, np.float32)
        pairs.append((np.where(edges == 255, 0, edges).astype(np.uint8), 0.8 * near * noise + 0.2 * false))
    counts = count_edges(pairs, 33)
    assert (counts.ods()[0], counts.ois(), counts.ap()) == pytest.approx((0.9313, 0.9322, 0.9377), abs=0.001)


@pytest.fixture
def data(tmp_path):
    """Two pictures of a square, and its edges."""
    squares = np.zeros((32, 48), np.uint8)
    squares[8:24, 12:36] = 1
    for name in ("a", "b"):
        for kind, array in (("images", np.repeat(squares[..., None] * 200, 3, 2)), ("labels", squares)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"{name}.png")
    splits = {"val": {"images": "images", "labels": "labels"}}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"names": ["ground", "square"], "splits": splits}))
    (tmp_path / "edges.yaml").write_text("format: edges\ndata: dataset.yaml\n")
    return Dataset.load(tmp_path / "edges.yaml")


@pytest.fixture
def segmenter(tmp_path):
    """A model that sees an edge where neighbours across and below differ."""
    onnx = pytest.importorskip("onnx", reason="pip install 'edgeseg[export]'")
    helper, kinds = onnx.helper, onnx.TensorProto
    slopes = np.zeros((2, 3, 3, 3), np.float32)
    slopes[0, :, 1], slopes[1, :, :, 1] = [-1, 0, 1], [-1, 0, 1]
    constants = {"slopes": slopes, "axes": np.array([1]), "half": np.float32(60), "zero": np.float32(0)}
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=kinds.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "slopes"], ["both"], pads=[1, 1, 1, 1]),
        helper.make_node("Abs", ["both"], ["steep"]),
        helper.make_node("ReduceMax", ["steep", "axes"], ["steepest"], keepdims=1),
        helper.make_node("Sub", ["steepest", "half"], ["edge"]),
        helper.make_node("Mul", ["edge", "zero"], ["rest"]),
        helper.make_node("Concat", ["rest", "edge"], ["logits"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "edges",
        [helper.make_tensor_value_info("images", kinds.UINT8, (1, 32, 48, 3))],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, (1, 2, 32, 48))],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    spec = ModelSpec("slopes", ("rest", "edge"), input_size=(32, 48), output="logits", stride=1)
    set_spec(model, spec)
    onnx.save(model, tmp_path / "model.onnx")
    with Segmenter.open(tmp_path / "model.onnx", threads=1) as opened:
        yield opened


def test_a_model_is_measured_on_the_borders_of_classes(data, segmenter):
    measured = evaluate_edges(segmenter, data, thresholds=9).to_dict()
    assert measured["images"] == 2
    assert measured["ods"] == measured["ois"] == pytest.approx(1)
    assert measured["recall"] == pytest.approx([1] * 9)
    assert len(measured["thresholds"]) == len(measured["precision"]) == 9


def test_probabilities_are_of_the_pictures_size(segmenter):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 48:] = 255
    probability = edge_probability(segmenter, picture)
    assert probability.shape == (64, 96)
    assert (probability[:, 47:49] > 0.9).all()
    assert (probability[4:-4, 54:-6] < 0.1).all()


def test_what_cannot_be_measured_is_told(data, segmenter, tmp_path, tiny_onnx):
    with pytest.raises(InputError, match="0 thresholds"):
        evaluate_edges(segmenter, data, thresholds=0)
    with pytest.raises(InputError, match="a tolerance of 1"):
        evaluate_edges(segmenter, data, tolerance=1)
    with pytest.raises(ModelError, match="the model has 3 classes"), Segmenter.open(tiny_onnx) as other:
        evaluate_edges(other, data)
    (tmp_path / "three.yaml").write_text(
        yaml.safe_dump({**yaml.safe_load((tmp_path / "dataset.yaml").read_text()), "names": ["a", "b", "c"]})
    )
    with pytest.raises(DatasetError, match=r"has 3 classes, not edges and the rest.*format: edges and data: "):
        evaluate_edges(segmenter, Dataset.load(tmp_path / "three.yaml"))


def test_the_verb_says_the_figures(run_cli, data, segmenter, tmp_path):
    done = run_cli("eval", tmp_path / "model.onnx", "--data", data.path, "--task", "edges")
    assert done.rc == 0, done.stderr
    assert "ODS 100.00 % at the threshold" in done.stdout
    assert "2 images; tolerance 0.75 % of the diagonal; edges: " in done.stdout
    done = run_cli("eval", tmp_path / "model.onnx", "--data", data.path, "--task", "edges", "--json")
    assert json.loads(done.stdout)["ois"] == pytest.approx(1)
    done = run_cli("eval", tmp_path / "model.onnx", "--data", data.path, "--task", "edges", "--refine", "crf")
    assert done.rc == 2
    assert "edges are measured as the network gives them. Leave out refine" in done.stderr
    done = run_cli("eval", tmp_path / "model.onnx", "--data", data.path, "--task", "lines")
    assert (done.rc, done.stderr) == (2, "edgeseg: error: --task is 'lines'. Use classes or edges.\n")
    done = run_cli("eval", "--predictions", tmp_path, "--labels", tmp_path, "--task", "edges")
    assert done.rc == 2
    assert "--task is for a model" in done.stderr
