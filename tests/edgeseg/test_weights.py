from __future__ import annotations

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
    assert model.name.startswith(spec.network)
    assert spec.license
    assert spec.data
    assert {"parameters", "macs", "val_miou"} <= spec.metrics.keys()
    assert 0 < spec.metrics["val_miou"] < 1
    assert model.path.stat().st_size < 6e6
    assert spec.license in model.card.read_text(encoding="utf-8")


@pytest.mark.parametrize("dot_product", [False, True])
def test_the_default_is_shipped_and_in_int8_where_the_cpu_is_made_for_it(dot_product, monkeypatch):
    monkeypatch.setattr("edgeseg._native.has_int8_dot_product", lambda: dot_product)
    default = weights.default_model()
    assert read_spec(weights.find(default)).precision == ("int8-cpu" if dot_product else "fp32")
