from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgeseg.errors import SpecError
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import BilateralTerm, CrfParams, SpatialTerm

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
        ({"stride": 0}, "stride is 0"),
        ({"input_size": (0, 4)}, "input_size is 0"),
        ({"std": (1.0, 0.0, 1.0)}, "must be positive"),
    ],
)
def test_values_out_of_range_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        ModelSpec(**{**vars(SPEC), **changes})


def test_what_a_newer_edgeseg_adds_is_kept_and_passed_on():
    spec = ModelSpec.from_json(edited(tile=3, anchors={"a": [1, 2]}), "street.onnx")
    assert spec.extra == {"anchors": {"a": [1, 2]}, "tile": 3}
    passed_on = spec.unmeasured(precision="fp16")
    assert json.loads(passed_on.to_json())["tile"] == 3
    assert ModelSpec.from_json(passed_on.to_json(), "x") == passed_on
    with pytest.raises(SpecError, match=r"extra is .*by names that no attribute has"):
        ModelSpec(**{**vars(SPEC), "extra": {"mean": 1}})


def test_the_arguments_of_the_network_travel():
    spec = ModelSpec(**{**vars(SPEC), "network_args": {"width": 0.5, "pool": True, "norm": "batch"}})
    assert ModelSpec.from_json(spec.to_json(), "x").network_args == {"width": 0.5, "pool": True, "norm": "batch"}
    assert "network_args" not in json.loads(SPEC.to_json())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([1], r"network_args is \[1\]"),
        ({"two words": 1}, "network_args has the name 'two words'"),
        ({"width": float("nan")}, "the argument width is nan"),
        ({"width": [1]}, r"the argument width is \[1\]"),
        ({"width": "\x1b[2J"}, "the argument width is "),
    ],
)
def test_arguments_that_are_none_are_refused(args, message):
    with pytest.raises(SpecError, match=message):
        ModelSpec(**{**vars(SPEC), "network_args": args})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        (edited(format=3), "has format 3; this edgeseg reads 1 and 2"),
        (edited(format="remove"), "has format None"),
        (edited(class_names="remove"), "malformed"),
        (edited(mean=[1, 2]), r"mean is \[1, 2\]"),
        (edited(colors=[[1, 2], [3, 4]]), r"a colour is \[1, 2\]"),
        (edited(std=[0, 1, 1]), "must be positive"),
    ],
)
def test_unreadable_spec_names_the_artifact(text, message):
    with pytest.raises(SpecError, match=message) as caught:
        ModelSpec.from_json(text, "street.onnx")
    assert "street.onnx" in str(caught.value)
    assert "xport the model again" in str(caught.value)


HUGE = "[" * 100_000
EVIL_NAMES = ["\ud800", "a\x1b[31mb", "a\nb", "\x07", "", "x" * 1000, "a\u202eb", 3, None, ["a"]]
NO_NUMBERS = ["1", None, True, [], {}, float("nan"), float("inf"), 10**400]


@pytest.mark.parametrize(
    "changes",
    [
        *({"class_names": ["road", name]} for name in EVIL_NAMES),
        *({"network": name} for name in EVIL_NAMES),
        *({"class_names": value} for value in ("ab", 3, None, {"a": 1, "b": 2}, [], ["a"] * 256)),
        *({"colors": [[0, 0, 0], [0, 0, value]]} for value in (300, -1, 1.5, *NO_NUMBERS)),
        *({"colors": value} for value in ("ab", 3, [1, 2], [[1, 2, 3]], [[1, 2, 3]] * 3, {"a": [1, 2, 3]})),
        *({"input_size": [value, 480]} for value in (0, -8, 10**9, 16385, 1.5, *NO_NUMBERS)),
        *({"input_size": value} for value in ([16384, 16384], [360], [1, 2, 3], 360, "36", None, {"1": 2, "3": 4})),
        *({"mean": [0.1, value, 0.3]} for value in (*NO_NUMBERS, 1e300)),
        *({"std": [0.1, value, 0.3]} for value in (0, -1, *NO_NUMBERS)),
        *({"stride": value} for value in (0, -1, 1.5, 10**9, *NO_NUMBERS)),
        *({"output": value} for value in ("probabilities", 3, None, ["logits"], {})),
        *({"precision": value} for value in ("int4", 3, None, ["fp32"], {})),
        *({"label_ignore_index": value} for value in ("1", 1.5, True, [], 10**12)),
        *({"metrics": value} for value in (3, [], "ab", {"val_miou": "high"}, {"a\x1b": 1}, {"a": [1]}, {"a": True})),
        {"metrics": {str(index): index for index in range(101)}},
        *({name: value} for name in ("data", "license") for value in (3, None, [], "\x1b[2J", "x" * 20_000)),
        *({"crf": value} for value in (3, [], "strong", {"iterations": True}, {"bilateral_sigma_rgb": "33"})),
        *({"crf": {"more_terms": value}} for value in (3, "ab", [3], {"a": 1}, [{"sigma_rgb": 1}])),
        *({"crf": {"compatibility": value}} for value in ("ab", [["0", "1"], ["1", "0"]], [[0, 1e300], [1, 0]], [[]])),
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_hostile_spec_is_one_line_that_can_be_shown(changes):
    with pytest.raises(SpecError) as caught:
        ModelSpec.from_json(edited(**changes), "street.onnx")
    message = str(caught.value)
    assert "street.onnx" in message
    assert len(message) < 500
    assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 100_000,
        '{"a":' * 100_000,
        "1e999",
        edited(stride=1).replace('"stride": 1', '"stride": 1e999'),
        edited(stride=1).replace('"stride": 1', '"stride": ' + "9" * 10_000),
        edited(stride=1).replace('"stride": 1', '"stride": NaN'),
        edited(**{"a\x1b[2J": 1}),
        edited(**{"k" * 5000: 1}),
        edited(format="\x1b[2J"),
        edited(format=["x"] * 1000),
        " " * (5 << 20),
    ],
    ids=lambda text: f"{text[:20]}",
)
def test_hostile_json_is_one_line_that_can_be_shown(text):
    with pytest.raises(SpecError, match=r"street\.onnx") as caught:
        ModelSpec.from_json(text, "street.onnx")
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_names_of_all_scripts_are_taken():
    names = ("дорога", "道路", "सड़क", "naïve sky (left) – 2", "می\u200cخواهم")
    spec = ModelSpec("n", names)
    assert ModelSpec.from_json(spec.to_json(), "x").class_names == names


def test_sequences_and_numpys_numbers_become_plain_values():
    np = pytest.importorskip("numpy")
    spec = ModelSpec(
        "n",
        ["a", "b"],
        colors=np.array([[1, 2, 3], [4, 5, 6]]),
        input_size=[np.int64(8), 16],
        mean=np.float32([0, 0, 0]),
        std=[1, 1, 1],
        metrics={"val_miou": np.float32(0.5), "macs": np.int64(3)},
    )
    assert ModelSpec.from_json(spec.to_json(), "x") == spec
    assert spec.colors == ((1, 2, 3), (4, 5, 6))


def test_a_figure_that_is_nan_leaves_the_spec_readable():
    spec = SPEC.with_metrics(val_miou=float("nan"), macs=3)
    assert ModelSpec.from_json(spec.to_json(), "x").metrics == {"macs": 3}


def test_what_is_made_of_a_model_keeps_what_was_counted_and_loses_what_was_measured():
    spec = SPEC.with_metrics(macs=3, parameters=7, val_miou_int8=0.5)
    made = spec.unmeasured(precision="fp16")
    assert (made.metrics, made.precision) == ({"macs": 3, "parameters": 7}, "fp16")
    assert replace(made, metrics=spec.metrics, precision="fp32") == spec


@pytest.mark.parametrize(("fit", "scale"), [("letterbox", 1.0), ("crop", 1.0), ("tile", 1.0), ("tile", 0.5)])
def test_json_round_trip_keeps_the_fit_in_a_format_that_an_older_edgeseg_refuses(fit, scale):
    spec = replace(SPEC, fit=fit, tile_scale=scale)
    text = spec.to_json()
    assert ModelSpec.from_json(text, "x.onnx") == spec
    assert json.loads(text)["format"] == 2
    assert ("tile_scale" in json.loads(text)) == (scale != 1)


def test_a_spec_that_stretches_is_as_it_always_was():
    assert SPEC.fit == "stretch"
    assert not {"fit", "tile_scale"} & set(json.loads(SPEC.to_json()))
    assert replace(SPEC, fit="tile", tile_scale=0.5).fitted("stretch").to_json() == SPEC.to_json()


def test_a_fit_goes_on_to_what_is_made_of_a_model():
    spec = replace(SPEC, fit="tile", tile_scale=0.5)
    assert (spec.unmeasured(precision="int8-cpu").fit, spec.with_metrics(a=1).tile_scale) == ("tile", 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "pad"}, "fit is 'pad'"),
        ({"fit": ["tile"]}, r"fit is \['tile'\]"),
        ({"fit": "tile", "tile_scale": 0}, "tile_scale is 0"),
        ({"fit": "tile", "tile_scale": 5}, "tile_scale is 5"),
        ({"fit": "tile", "tile_scale": "1"}, "tile_scale holds '1'"),
        ({"fit": "crop", "tile_scale": 2}, "tile_scale is 2, but fit is crop"),
        ({"fit": "tile", "input_size": [360, 484]}, "tiles of 484x360 do not share one grid"),
    ],
)
def test_fits_that_cannot_be_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        ModelSpec.from_json(edited(format=2, **changes), "x.onnx")
