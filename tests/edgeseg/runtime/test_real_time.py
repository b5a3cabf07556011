"""Which model runs in real time. The models are real and small; the budget, not the machine, decides."""

from __future__ import annotations

import json
import shutil

import pytest

from edgeseg import weights
from edgeseg.errors import ModelError
from edgeseg.runtime import real_time
from edgeseg.runtime.choose import choose
from edgeseg.runtime.real_time import best_in_time, time_model
from edgeseg.runtime.registry import open_backend
from tests.support.counting import calls_of


@pytest.fixture
def two(tiny_onnx, tiny_labels_onnx, tmp_path, monkeypatch):
    """Two shipped models for streets, ``better`` and ``lighter``, and an empty cache."""
    shutil.copy(tiny_onnx, tmp_path / "better.onnx")
    shutil.copy(tiny_labels_onnx, tmp_path / "lighter.onnx")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setattr(weights, "TASKS", {"street": ("better", "lighter")})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return ["better", "lighter"]


def keep(**known):
    """Times of an earlier start."""
    for name, ms in known.items():
        place = real_time._place(weights.find(name), 1)
        place.write_text(json.dumps({"ms": ms}), encoding="utf-8")


def test_the_most_accurate_that_is_within_the_budget(two):
    assert best_in_time(two, 1, budget_ms=1e6)[0] == "better"
    keep(better=30.0, lighter=8.0)
    assert best_in_time(two, 1, budget_ms=20) == ("lighter", 8.0)


def test_the_fastest_where_none_is_within_it(two):
    keep(better=30.0, lighter=80.0)
    assert best_in_time(two, 1, budget_ms=20) == ("better", 30.0)


def test_each_is_timed_once_and_the_lighter_ones_only_where_it_matters(two):
    with calls_of(open_backend) as opened:
        first = best_in_time(two, 1, budget_ms=1e6)
        assert best_in_time(two, 1, budget_ms=1e6) == first
    assert len(opened) == 1
    with calls_of(open_backend) as opened:
        best_in_time(two, 1, budget_ms=0)
        best_in_time(two, 1, budget_ms=0)
    assert len(opened) == 1  # of the lighter one


def test_another_number_of_threads_and_another_file_are_timed_anew(two, write_onnx, tmp_path):
    places = {real_time._place(weights.find(name), threads) for name in two for threads in (1, 2)}
    assert len(places) == 4
    write_onnx(tmp_path / "better.onnx", spec_json=None)
    assert real_time._place(weights.find("better"), 1) not in places


@pytest.mark.parametrize("kept", ["", "{}", '{"ms": "soon"}', '{"ms": 0}', '{"ms": NaN}', "[1]"])
def test_what_is_kept_and_cannot_be_believed_is_timed_again(two, kept):
    place = real_time._place(weights.find("better"), 1)
    place.write_text(kept, encoding="utf-8")
    name, ms = best_in_time(two, 1, budget_ms=1e6)
    assert name == "better"
    assert json.loads(place.read_text(encoding="utf-8")) == {"ms": ms}


def test_to_time_it_again_replaces_what_is_known(two):
    keep(better=1e5)
    ms = time_model("better", 1)
    assert 0 < ms < 1e5
    assert best_in_time(["better"], 1) == ("better", ms)


def test_without_a_cache_it_is_timed_each_time(two, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with calls_of(open_backend) as opened:
        for _ in range(2):
            best_in_time(two, 1, budget_ms=1e6)
    assert len(opened) == 2


def test_the_choice_says_what_was_too_slow_and_what_the_other_takes(two):
    keep(better=31.0, lighter=8.4)
    for model in (None, "street"):
        choice = choose(model, "ort", threads=1)
        assert choice.path.stem == "lighter"
        assert "better would take too long here" in choice.reason
        assert "8 ms a frame" in choice.reason
    assert choose("better", "ort", threads=1).path.stem == "better"


def test_another_engine_gets_the_most_accurate_untimed(two):
    with calls_of(open_backend) as opened:
        assert choose(None, "tensorrt").path.stem == "better"
    assert opened == []


def test_an_unknown_model_is_one_line(two):
    with pytest.raises(ModelError, match="there is no model 'none'"):
        time_model("none")
