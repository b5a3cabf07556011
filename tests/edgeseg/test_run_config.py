"""RunConfig: what it takes, what it refuses, and that it is what the command line takes."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import typer

from edgeseg.cli import _build
from edgeseg.cli.run import run
from edgeseg.errors import InputError
from edgeseg.run_config import RunConfig
from edgeseg.video.sinks.registry import OUTPUTS

FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}


def test_every_field_is_a_flag_and_every_flag_a_field() -> None:
    command: Any = typer.main.get_command(_build(["run", "doctor"]))
    parameters = {one.name: one for one in command.commands["run"].params}
    assert set(parameters) - {"help"} == {*FIELDS, "source_option", "config"}
    for name in FIELDS:
        flag = f"--{name.replace('_', '-')}"
        assert name == "source" or flag in parameters[name].opts
        (said,) = inspect.signature(run).parameters[name].annotation.__metadata__
        assert FIELDS[name].metadata["help"].split(":")[0] in said.help
    assert "--source" in parameters["source_option"].opts


def test_every_output_is_a_field() -> None:
    assert set(OUTPUTS) <= set(FIELDS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"source": "a.mp4"}, {"source": ("a.mp4",)}),
        ({"source": ["a.mp4", Path("b.mp4")]}, {"source": ("a.mp4", "b.mp4")}),
        ({"source": ["camera:0", {"synthetic": None}]}, {"source": ("camera:0", "synthetic:")}),  # as YAML reads it
        ({"sources": {"gate": Path("a.mp4"), 1: "b"}}, {"sources": {"gate": "a.mp4", 1: "b"}}),
        ({"sources": "cameras.yaml"}, {"sources": Path("cameras.yaml")}),
        ({"web": 8080}, {"web": "8080"}),
        ({"model": Path("m.onnx"), "jsonl": Path("o")}, {"model": "m.onnx", "jsonl": "o"}),
        ({"save": "o.mp4", "show": False}, {"save": Path("o.mp4"), "show": False}),
        ({"sink": "count:a"}, {"sink": ("count:a",)}),
    ],
)
def test_values_are_kept_in_one_form(given: dict[str, Any], kept: dict[str, Any]) -> None:
    config = RunConfig(**given)
    assert {name: getattr(config, name) for name in kept} == kept


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": 3}, "source is no source"),
        ({"source": ["a", 3]}, "source is no source"),
        ({"sources": {}}, "sources lists no sources"),
        ({"sources": {"gate": 3}}, "sources lists no sources"),
        ({"web": True}, "web is no address"),
        ({"camera": -1}, "camera is -1"),
        ({"opacity": 1.5}, "opacity is 1.5. Give at most 1"),
        ({"on_lost": "cry"}, "on_lost is 'cry'. Use one of wait, exit"),
        ({"source": "a", "camera": 0}, "source and camera each name a source"),
        ({"web_token": "t", "web_token_file": "f"}, "web_token and web_token_file each give a token"),
        ({"segment_secs": 1}, "segment_secs belongs to save. Add save, or leave segment_secs out"),
        ({"save": "a.mp4", "segment_keep_gb": 1}, "segment_keep_gb belongs to segment_secs"),
        ({"jsonl_masks": "rle"}, "jsonl_masks belongs to jsonl"),
        ({"save": "a-%d.mp4"}, "a-%d.mp4 has a place for a number. Add segment_secs 60, say"),
    ],
)
def test_what_cannot_be_is_told_by_the_names_of_fields(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        RunConfig(**given)
    assert message in str(caught.value)


def test_it_comes_back_from_yaml_without_its_token(tmp_path: Path) -> None:
    config = RunConfig(
        sources={"gate": "rtsp://ada:hunter2@10.0.0.7/main", "yard": "camera:1"},
        save="clip-%d.mp4",
        segment_secs=60,
        web=8080,
        temporal=False,
        sink=["a:b"],
        gst=False,
    )
    dataclasses.replace(config, web_token="a token that nobody guesses").write(tmp_path / "run.yaml")
    assert RunConfig.load(tmp_path / "run.yaml") == config


def test_passwords_and_tokens_are_not_shown() -> None:
    for config in (
        RunConfig(source="rtsp://ada:hunter2@10.0.0.7/main", web_token="hunter2"),
        RunConfig(sources={"gate": "rtsp://ada:hunter2@10.0.0.7/main"}),
    ):
        assert "hunter2" not in repr(config)
    for given in ({"source": {"hunter2": 1}}, {"sources": ["hunter2"]}, {"web_token": ["hunter2"]}):
        with pytest.raises(InputError) as caught:
            RunConfig(**given)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
