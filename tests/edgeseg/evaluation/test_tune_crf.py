from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.evaluation.evaluate import evaluate
from edgeseg.evaluation.tune_crf import RANGES, search, tune_crf
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg.spec.crf_params import CrfParams

GOAL = {
    "bilateral_sigma_xy_px": 20.0,
    "bilateral_sigma_rgb": 5.0,
    "bilateral_weight": 2.0,
    "spatial_sigma_px": 1.0,
    "spatial_weight": 0.5,
    "iterations": 3.0,
}


def nearness(params):
    """1 at GOAL, falling with the distance in orders of magnitude: a smooth score with one peak."""
    distance = sum(math.log10(getattr(params, name) / goal) ** 2 for name, goal in GOAL.items())
    return math.exp(-distance)


@pytest.mark.parametrize("seed", range(5))
def test_the_search_comes_near_the_peak(seed):
    trials = search(nearness, 60, seed)
    scores = [trial.miou for trial in trials]
    assert trials[0].params == CrfParams()
    assert scores == [nearness(trial.params) for trial in trials]
    assert scores[0] < 0.2
    assert max(scores[:21]) < max(scores), "the steps improve on what the hypercube found"
    assert max(scores) > 0.7


@pytest.mark.parametrize("trials", [1, 2, 3, 10])
def test_the_search_stays_in_range_and_within_its_number_of_trials(trials):
    tried = search(lambda params: -params.bilateral_weight, trials, 0)
    assert len(tried) == trials
    for name, (low, high) in RANGES.items():
        assert all(low <= getattr(trial.params, name) <= high for trial in tried)


def test_the_search_is_a_function_of_its_seed():
    assert search(nearness, 12, 7) == search(nearness, 12, 7)
    assert search(nearness, 12, 7)[1:] != search(nearness, 12, 8)[1:]


@pytest.fixture
def dataset(tmp_path):
    """Six pictures of an ellipse, whose edges the model's blocks miss, at sizes that are not the model's."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        height, width = (64, 96) if index % 2 else (40, 50)
        y, x = np.mgrid[:height, :width] + 0.5
        centre, radii = rng.uniform(0.4, 0.6, 2), rng.uniform(0.2, 0.35, 2)
        labels = ((y / height - centre[0]) / radii[0]) ** 2 + ((x / width - centre[1]) / radii[1]) ** 2 < 1
        image = np.array([[120, 80, 80], [80, 120, 80]], np.uint8)[labels.astype(int)]
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / f"{index}.png")
    splits = {"train": {"images": "images", "labels": "labels"}}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"names": ["red", "green", "blue"], "splits": splits}))
    return Dataset.load(tmp_path)


@pytest.fixture
def backend(tiny_onnx):
    return open_backend(tiny_onnx, threads=1)


def test_tuning_finds_what_evaluation_confirms(dataset, backend, tmp_path, write_onnx, tiny_spec):
    told = []
    tuning = tune_crf(backend, dataset, trials=8, threads=1, on_trial=lambda number, miou: told.append((number, miou)))
    assert tuning.images == 6
    assert told == list(enumerate([tuning.alone_miou, *(trial.miou for trial in tuning.trials)]))
    assert tuning.helps
    assert tuning.left_out == "over 2 of 3 classes; no pixel of blue"
    assert tuning.best.miou > tuning.alone_miou + 0.02

    tuned = write_onnx(tmp_path / "tuned.onnx", spec_json=replace(tiny_spec, crf=tuning.best.params).to_json())
    for refine, expected in (("none", tuning.alone_miou), ("crf", tuning.best.miou)):
        with Segmenter.open(tuned, threads=1, refine=refine) as segmenter:
            miou = evaluate(segmenter, dataset, "train").confusion.miou()
        assert miou == pytest.approx(expected, abs=2e-3)  # logits were kept in half precision


def test_a_network_that_is_right_alone_is_not_helped(dataset, backend, tiny_onnx):
    with Segmenter.open(tiny_onnx) as segmenter:
        for sample in dataset.split("train").samples():
            Image.fromarray(segmenter(dataset.read(sample)[0]).labels).save(sample.label)
    tuning = tune_crf(backend, dataset, trials=3, threads=1)
    assert tuning.alone_miou == pytest.approx(1, abs=1e-3)
    assert not tuning.helps
    assert tuning.best.miou == max(trial.miou for trial in tuning.trials)


@pytest.mark.parametrize("few", [{"trials": 0}, {"max_images": 0}])
def test_fewer_than_one_is_told(dataset, backend, few):
    with pytest.raises(InputError, match="Use 1 or more"):
        tune_crf(backend, dataset, threads=1, **few)


def test_no_more_images_than_asked_for(dataset, backend):
    assert tune_crf(backend, dataset, trials=1, max_images=2, threads=1).images == 2


def test_what_cannot_be_tuned(dataset, backend, tiny_labels_onnx):
    with pytest.raises(ModelError, match=r"the model returns labels.*--head logits"):
        tune_crf(open_backend(tiny_labels_onnx), dataset)
    with pytest.raises(DatasetError, match="has no split 'val'"):
        tune_crf(backend, dataset, "val")
    with pytest.raises(ModelError, match="the model has 3 classes"):
        tune_crf(backend, replace(dataset, names=("red", "green")))
    for sample in dataset.split("train").samples():
        size = Image.open(sample.label).size
        Image.new("L", size, 255).save(sample.label)
    with pytest.raises(DatasetError, match=r"no pixel of 6 images in split train of .* is labelled"):
        tune_crf(backend, dataset)
