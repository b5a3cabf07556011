from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgeseg.crf_params import BilateralTerm, CrfParams, SpatialTerm
from edgeseg.errors import SpecError
from edgeseg.spec import ModelSpec

SPEC = ModelSpec(
    network="fast_scnn",
    class_names=("road", "naïve sky"),
    colors=((1, 2, 3), (4, 5, 6)),
    input_size=(360, 480),
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    output="logits",
    stride=8,
    label_ignore_index=11,
    data="two streets",
    license="CC-BY-NC-4.0",
    metrics={"val_miou": 0.66},
)


def edited(**changes):
    raw = json.loads(SPEC.to_json())
    raw.update(changes)
    return json.dumps({key: value for key, value in raw.items() if value != "remove"})


def test_json_round_trip_keeps_everything():
    assert ModelSpec.from_json(SPEC.to_json(), "x.onnx") == SPEC


@pytest.mark.parametrize(
    "crf",
    [
        CrfParams(),
        CrfParams(bilateral_sigma_xy_px=(30, 40), bilateral_weight=0, iterations=3, compatibility=[[0, 1], [2, 0]]),
        CrfParams(more_terms=(SpatialTerm(2, 1.5), BilateralTerm(9, (1, 2, 3), -1))),
    ],
)
def test_json_round_trip_keeps_the_crf(crf):
    spec = replace(SPEC, crf=crf)
    assert ModelSpec.from_json(spec.to_json(), "x.onnx") == spec


def test_a_spec_without_a_crf_says_nothing_of_it():
    assert "crf" not in json.loads(SPEC.to_json())
    assert ModelSpec.from_json(edited(crf=None), "x.onnx") == SPEC


@pytest.mark.parametrize(
    ("crf", "message"),
    [
        ({"bilateral_sigma_rgb": 0}, "bilateral_sigma_rgb is 0"),
        ({"temperature": 1}, r"no parameters \['temperature'\]"),
        ({"iterations": 2.5}, "iterations is 2.5"),
        ({"more_terms": 3}, "malformed"),
        ([], r"parameters are \[\]"),
        ("strong", "parameters are 'strong'"),
        ({"compatibility": [[0, 1, 1], [1, 0, 1], [1, 1, 0]]}, "2 class names but the CRF's compatibility is for 3"),
    ],
)
def test_unreadable_crf_parameters_name_the_artifact_and_the_remedy(crf, message):
    with pytest.raises(SpecError, match=message) as caught:
        ModelSpec.from_json(edited(crf=crf), "street.onnx")
    assert "street.onnx" in str(caught.value)
    assert "edgeseg tune-crf" in str(caught.value)


def test_the_precision_is_said_where_it_is_not_float():
    assert "precision" not in json.loads(SPEC.to_json())
    assert ModelSpec.from_json(SPEC.to_json(), "x.onnx").precision == "fp32"
    spec = replace(SPEC, precision="int8-cpu")
    assert ModelSpec.from_json(spec.to_json(), "x.onnx") == spec


def test_json_is_one_line_with_the_format_first():
    assert "\n" not in SPEC.to_json()
    assert SPEC.to_json().startswith('{"format": 1')


def test_colours_are_made_up_where_there_are_none():
    assert ModelSpec("n", ("a", "b")).colors == ((0, 0, 0), (128, 0, 0))


def test_with_metrics_keeps_the_others_and_the_original():
    more = SPEC.with_metrics(macs=2.0)
    assert more.metrics == {"val_miou": 0.66, "macs": 2.0}
    assert SPEC.metrics == {"val_miou": 0.66}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ()}, "1 to 255 classes"),
        ({"class_names": tuple(map(str, range(256))), "colors": ()}, "names 256"),
        ({"colors": ((0, 0, 0),)}, "2 class names but 1 colours"),
        ({"output": "probabilities"}, "output is 'probabilities'"),
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"stride": 0}, "must be positive"),
        ({"input_size": (0, 4)}, "must be positive"),
        ({"std": (1.0, 0.0, 1.0)}, "must be positive"),
    ],
)
def test_values_out_of_range_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        ModelSpec(**{**vars(SPEC), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        (edited(format=2), "has format 2; this edgeseg reads 1"),
        (edited(format="remove"), "has format None"),
        (edited(tile=3), r"unknown keys \['tile'\]"),
        (edited(class_names="remove"), "malformed"),
        (edited(mean=[1, 2]), "malformed"),
        (edited(colors=[[1, 2]]), "malformed"),
        (edited(std=[0, 1, 1]), "must be positive"),
    ],
)
def test_unreadable_spec_names_the_artifact(text, message):
    with pytest.raises(SpecError, match=message) as caught:
        ModelSpec.from_json(text, "street.onnx")
    assert "street.onnx" in str(caught.value)
    assert "xport the model again" in str(caught.value)
