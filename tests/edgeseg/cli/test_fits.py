"""Every verb with each fit, on pictures of another shape than the model's."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import pytest
import yaml
from PIL import Image

import edgeseg
import edgeseg.cli
from edgeseg.artifact.onnx import read_spec
from edgeseg.segmenter import Segmenter
from edgeseg.spec import METADATA_KEY

FITS = ("stretch", "letterbox", "crop", "tile")


@pytest.fixture
def cli(monkeypatch, capsys):
    """``cli(…)`` runs the command here and returns exit code, stdout and stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgeseg", *map(str, args), "--threads", "1"])
        with pytest.raises(SystemExit) as caught:
            edgeseg.cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def fitted(convnet, tmp_path):
    """``fitted(fit)`` is ``convnet`` as if it had been trained with that fit."""

    def make(fit):
        model = onnx.load(convnet)
        (entry,) = (prop for prop in model.metadata_props if prop.key == METADATA_KEY)
        entry.value = read_spec(convnet).fitted(fit).to_json()
        onnx.save(model, tmp_path / f"{fit}.onnx")
        return tmp_path / f"{fit}.onnx"

    return make


@pytest.fixture
def data_for(tmp_path):
    """``data_for(artifact)``: a portrait, a panorama and a large picture, and the labels that it gives them."""

    def make(artifact):
        folder = tmp_path / f"data-{artifact.stem}"
        rng = np.random.default_rng(0)
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True)
        with Segmenter.open(artifact, threads=1) as segmenter:
            for name, (height, width) in (("portrait", (72, 40)), ("panorama", (32, 96)), ("large", (80, 120))):
                image = np.kron(rng.integers(0, 256, (height // 4, width // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
                Image.fromarray(image).save(folder / "images" / f"{name}.png")
                Image.fromarray(segmenter(image).labels).save(folder / "labels" / f"{name}.png")
        splits = {name: {"images": "images", "labels": "labels"} for name in ("train", "val")}
        (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": ["red", "green", "blue"], "splits": splits}))
        return folder

    return make


def labels_in(folder):
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


@pytest.mark.parametrize("fit", FITS)
def test_every_verb_sees_pictures_as_the_artifact_says(cli, fitted, data_for, tmp_path, fit):
    model = fitted(fit)
    data = data_for(model)
    truth = labels_in(data / "labels")
    assert any((labels == 255).any() for labels in truth.values()) == (fit == "crop")

    rc, out, err = cli("eval", model, "--data", data, "--json")
    assert rc == 0, err
    assert json.loads(out)["miou"] == 1

    rc, _, err = cli("run", data / "images", "--model", model, "--save-masks", tmp_path / "masks", "--no-show")
    assert rc == 0, err
    for name, labels in labels_in(tmp_path / "masks").items():
        np.testing.assert_array_equal(labels, truth[name])

    rc, out, err = cli("compare", model, model, "--data", data)
    assert rc == 0, err
    assert "100.00" in out

    tuned = tmp_path / "tuned.onnx"
    rc, out, err = cli("tune-crf", model, "--data", data, "--output", tuned, "--trials", "2", "--force")
    assert rc == 0, err
    assert read_spec(tuned).fit == fit
    assert ("100.00" in out) == (fit != "tile")  # it scored itself; but a tile of its own is seen without others

    rc, out, err = cli("quantize", model, "--data", data, "--output", tmp_path / "int8.onnx", "--max-drop", "100")
    assert rc == 0, err
    spec = read_spec(tmp_path / "int8.onnx")
    assert (spec.fit, spec.precision) == (fit, "int8-cpu")
    assert spec.metrics["val_miou"] > 0.5

    results = list(edgeseg.stream(data / "images", model=model, threads=1))
    assert len(results) == 3
    for result in results:
        assert result.segmentation is not None
        np.testing.assert_array_equal(result.segmentation.labels, truth[result.frame.name.removesuffix(".png")])


@pytest.mark.parametrize("fit", ["letterbox", "tile"])
def test_another_fit_than_the_artifacts(cli, fitted, convnet, data_for, tmp_path, fit):
    data = data_for(fitted(fit))
    rc, out, err = cli("eval", convnet, "--data", data, "--fit", fit, "--json")
    assert rc == 0, err
    assert json.loads(out)["miou"] == 1
    _, out, _ = cli("eval", convnet, "--data", data, "--json")
    assert json.loads(out)["miou"] < 0.95
    rc, _, err = cli("run", data / "images", "--model", convnet, "--fit", fit, "--save-masks", tmp_path, "--no-show")
    assert rc == 0, err
    truth = labels_in(data / "labels")
    for name, labels in labels_in(tmp_path).items():
        np.testing.assert_array_equal(labels, truth[name])
    (first, *_) = edgeseg.stream(data / "images", model=convnet, threads=1, fit=fit, max_frames=1)
    assert first.segmentation.spec.fit == fit


def test_pixels_that_crop_leaves_out_count_as_missed(cli, tiny_onnx, tmp_path):
    """In the figures of a model and in those of the masks that a run with it saves."""
    image = np.full((32, 96, 3), (200, 0, 0), np.uint8)
    for kind, array in (("images", image), ("labels", np.zeros((32, 96), np.uint8))):
        (tmp_path / kind).mkdir()
        Image.fromarray(array).save(tmp_path / kind / "wide.png")
    splits = {"val": {"images": "images", "labels": "labels"}}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"names": ["red", "green", "blue"], "splits": splits}))
    rc, out, err = cli("eval", tiny_onnx, "--data", tmp_path, "--fit", "crop", "--json")
    assert rc == 0, err
    assert json.loads(out)["pixel_accuracy"] == 0.5
    masks = tmp_path / "masks"
    cli("run", tmp_path / "images", "--model", tiny_onnx, "--fit", "crop", "--save-masks", masks, "--no-show")
    of_masks = ("--predictions", masks, "--labels", tmp_path / "labels", "--num-classes", "3")
    rc, out, err = cli("eval", *of_masks, "--json")
    assert rc == 0, err
    assert json.loads(out)["pixel_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fit", "pad"], "fit is 'pad'. Use one of stretch, letterbox, crop, tile"),
        (["--fit", "tile", "--tile-scale", "0"], "tile_scale is 0"),
        (["--tile-scale", "2"], "tile_scale is 2, but fit is stretch"),
    ],
)
def test_mistakes_are_one_line(cli, tiny_onnx, convnet_data, arguments, message):
    rc, _, err = cli("eval", tiny_onnx, "--data", convnet_data, *arguments)
    assert rc == 2
    assert message in err
    assert err.splitlines()[-1].startswith("edgeseg: error:")
