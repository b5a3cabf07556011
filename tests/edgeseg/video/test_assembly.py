"""From a RunConfig to its parts: what is opened, in which order, and that nothing stays open."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from PIL import Image

import edgeseg
from edgeseg.errors import InputError, ModelError, SourceError
from edgeseg.run_config import RunConfig
from edgeseg.types import Result
from edgeseg.video import assembly, streaming
from edgeseg.video.assembly import Assembly
from edgeseg.video.stage import Overlay, Score, Segment, Stage


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self, shows_overlay: bool = False) -> None:
        self.shows_overlay = shows_overlay
        self.results: list[Result] = []
        self.is_closed = False

    def write(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """A folder of three pictures."""
    (tmp_path / "photos").mkdir()
    for index in range(3):
        Image.new("RGB", (64, 48), (80 * index, 0, 200)).save(tmp_path / "photos" / f"{index}.png")
    return str(tmp_path / "photos")


@pytest.fixture
def segmenter(tiny_onnx: Path) -> edgeseg.Segmenter:
    with edgeseg.Segmenter.open(tiny_onnx, threads=1) as opened:
        yield opened


def _kinds(stages: list[Stage]) -> list[type]:
    return [type(stage) for stage in stages]


def test_stages_are_those_that_somebody_wants(segmenter: edgeseg.Segmenter, tmp_path: Path, photos: str) -> None:
    for config, loop, kinds in (
        (RunConfig(photos, show=False), None, [Segment]),
        (RunConfig(photos, save=tmp_path / "o.mp4"), None, [Segment, Overlay]),
        (RunConfig(photos, save_masks=tmp_path / "masks"), None, [Segment]),
        (RunConfig(photos, show=False), Kept(), [Segment]),
        (RunConfig(photos, show=False), Kept(shows_overlay=True), [Segment, Overlay]),
    ):
        with Assembly(config).open(segmenter, loop) as run:
            assert _kinds(run.stages()) == kinds


def test_ground_truth_is_scored_where_there_is_a_report(
    segmenter: edgeseg.Segmenter, photos: str, tmp_path: Path
) -> None:
    (tmp_path / "truth").mkdir()
    for index in range(3):
        Image.new("L", (64, 48), index).save(tmp_path / "truth" / f"{index}.png")
    plan = Assembly(RunConfig(photos, labels=tmp_path / "truth", show=False))
    for loop, kinds in ((None, [Segment, Score]), (Kept(), [Segment])):
        with plan.open(segmenter, loop) as run:
            assert _kinds(run.stages()) == kinds


def test_labels_that_a_source_brings_are_scored_for_a_model_of_their_classes(
    segmenter: edgeseg.Segmenter, photos: str
) -> None:
    notes: list[str] = []
    with Assembly(RunConfig(photos, show=False), note=notes.append).open(segmenter) as run:
        ((name, source),) = run.sources.items()
        for names, kinds in ((segmenter.spec.class_names, [Segment, Score]), (("sky",), [Segment])):
            run.sources[name] = SimpleNamespace(info=replace(source.info, label_names=names))
            assert _kinds(run.stages()) == kinds
    assert notes == [f"no mIoU: the labels of {photos} are of other classes than the model's"]


def test_a_stage_that_is_added_is_in_a_run_and_in_a_stream(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, photos: str
) -> None:
    """There is one table of them."""

    def mark(result: Result) -> Result:
        result.latency_ms["mark"] = 0.5
        return result

    monkeypatch.setattr(assembly, "STAGES", (*assembly.STAGES, lambda _run: mark))
    report = edgeseg.run(RunConfig(photos, model=tiny_onnx, show=False))
    assert report.latency["mark"].count == 3
    assert [result.latency_ms["mark"] for result in edgeseg.stream(photos, model=tiny_onnx)] == [0.5] * 3


def test_a_stream_is_a_run_of_the_same_settings(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    made: list[RunConfig] = []

    class Noted(Assembly):
        def __init__(self, config: RunConfig) -> None:
            made.append(config)
            super().__init__(config)

    monkeypatch.setattr(streaming, "Assembly", Noted)
    given = {"backend": "ort", "threads": 1, "refine": "guided", "temporal": True, "drop_policy": "none"}
    given |= {"max_latency_ms": 9000.0, "on_lost": "exit", "max_frames": 2, "bit_depth": 12}
    results = list(edgeseg.stream(photos, model=tiny_onnx, overlay=0.25, allow_gst=False, **given))
    assert made == [RunConfig(sources={photos: photos}, model=tiny_onnx, show=False, opacity=0.25, gst=False, **given)]
    assert len(results) == 2
    assert all({"temporal", "refine", "overlay"} <= set(result.latency_ms) for result in results)


def test_what_is_wrong_is_told_before_a_model_is_loaded(tmp_path: Path, photos: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")  # which would be told if it came to that
    for given, message in (
        ({"save": tmp_path / "o.avi"}, "o.avi is not an .mp4"),
        ({"web": "0.0.0.0:0"}, r"\(web_token_file FILE, web PORT\)"),
        ({"web": "0", "web_token_file": tmp_path / "none"}, "Correct web_token_file"),
        ({"sink": "mqtt:gate"}, "sink mqtt is not known"),
        ({"source": [photos, photos], "labels": tmp_path}, "labels belong to one source"),
    ):
        config = RunConfig(**{"source": photos, "model": tmp_path / "bad.onnx", "show": False, **given})
        with pytest.raises(edgeseg.EdgesegError, match=message):
            edgeseg.run(config)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        edgeseg.run(RunConfig(photos, model=tmp_path / "bad.onnx", show=False))


def test_an_output_may_not_be_a_file_that_is_read_besides(tiny_onnx: Path, tmp_path: Path, photos: str) -> None:
    (tmp_path / "run.yaml").write_text("")
    with pytest.raises(edgeseg.EdgesegError, match=r"run\.yaml is read by this run as well"):
        Assembly(RunConfig(photos, model=tiny_onnx, jsonl=tmp_path / "run.yaml"), reads=[tmp_path / "run.yaml"])


def test_a_token_is_read_once_so_that_it_may_come_from_a_pipe(segmenter: edgeseg.Segmenter, photos: str) -> None:
    token = "6d1f0c2a9b8e47f3a5d0"
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as pipe:
        pipe.write(f"{token}\n")
    config = RunConfig(photos, show=False, web="0", web_token_file=Path(f"/dev/fd/{reading}"))
    told: list[str] = []
    try:
        with Assembly(config, note=told.append).open(segmenter):
            (line,) = (line for line in told if "the page is at" in line)
            with pytest.raises(HTTPError, match="401"):
                urlopen(line.split()[-1])
            urlopen(Request(line.split()[-1], headers={"Authorization": f"Bearer {token}"})).close()
    finally:
        os.close(reading)


def test_what_was_opened_is_closed_where_no_pipeline_does_it(segmenter: edgeseg.Segmenter, photos: str) -> None:
    sink = Kept()
    with Assembly(RunConfig(photos, show=False)).open(segmenter, sink) as run:
        (source,) = run.sources.values()
    assert sink.is_closed
    assert list(source) == []
    gone = Assembly(RunConfig([photos, "gone.mp4"], show=False))
    with pytest.raises(SourceError, match="there is no file"), gone.open(segmenter):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgeseg")]


def test_a_segmenter_of_ones_own_stays_open(segmenter: edgeseg.Segmenter, tmp_path: Path, photos: str) -> None:
    for _ in range(2):
        config = RunConfig(photos, jsonl=tmp_path / "o.jsonl", max_frames=2)
        assert edgeseg.run(config, segmenter=segmenter).processed == 2
        assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2


def test_streams_need_names_that_can_be_printed(photos: str) -> None:
    for names in ({"\x1b": photos}, {True: photos}, {"gate": photos, " gate": photos}):
        with pytest.raises(InputError, match="sources names"):
            Assembly(RunConfig(sources=names, show=False))  # type: ignore[arg-type]
