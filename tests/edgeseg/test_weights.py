from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec
from edgeseg.errors import ModelError


@pytest.fixture(params=weights.shipped() or [None], ids=lambda model: model.name if model else "none")
def model(request):
    if request.param is None:
        pytest.skip("this checkout holds no trained models")
    return request.param


def test_a_path_that_exists_is_taken_as_it_is(tiny_onnx):
    assert weights.find(tiny_onnx) == tiny_onnx
    assert weights.find(str(tiny_onnx)) == tiny_onnx


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ModelError, match="there is no model 'no_such_net'") as caught:
        weights.find("no_such_net")
    assert all(model.name in str(caught.value) for model in weights.shipped())


def test_shipped_models_are_found_by_name(model):
    assert weights.find(model.name) == model.path


def test_shipped_models_say_what_the_table_shows(model):
    spec = read_spec(model.path)
    assert model.name.replace("-", "_").startswith(spec.network)
    assert spec.license
    assert spec.data
    assert {"parameters", "macs", "val_miou"} <= spec.metrics.keys()
    assert 0 < spec.metrics["val_miou"] < 1
    assert model.path.stat().st_size < 10e6
    assert spec.license in model.card.read_text(encoding="utf-8")


def test_every_shipped_model_has_a_task_and_each_word_finds_one(model):
    task = weights.task_of(model.name)
    assert task in weights.TASKS
    best, *_ = weights.models_for(task)
    assert weights.find(task) == weights.find(best)
    assert all(weights.task_of(name) == task for name in weights.models_for(task))
    assert weights.task_of("no_such_net") is None


def test_a_word_without_a_shipped_model_is_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    for ask in (weights.models_for, weights.find):
        with pytest.raises(ModelError, match="no model for 'street' is in this installation"):
            ask("street")


def test_a_file_wins_over_a_word(monkeypatch, tmp_path, tiny_onnx):
    monkeypatch.chdir(tmp_path)
    Path("street").write_bytes(tiny_onnx.read_bytes())
    assert weights.find("street") == Path("street")


@pytest.mark.parametrize("dot_product", [False, True])
def test_the_default_is_shipped_and_in_int8_where_the_cpu_is_made_for_it(dot_product, monkeypatch):
    monkeypatch.setattr("edgeseg._native.has_int8_dot_product", lambda: dot_product)
    for name in weights.models_for(weights.DEFAULT_TASK):
        assert read_spec(weights.find(name)).precision == ("int8-cpu" if dot_product else "fp32")
