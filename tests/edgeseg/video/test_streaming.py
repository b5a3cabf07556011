"""``edgeseg.stream``: a for loop over a camera, and what ends it."""

from __future__ import annotations

import threading
from itertools import islice, pairwise
from pathlib import Path

import pytest
from stream_servers import MjpegServer

import edgeseg
from edgeseg.errors import DatasetError, ModelError, SourceError
from edgeseg.types import Inference, Segmentation


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("edgeseg")]


def test_every_frame_of_a_file_is_labelled(tiny_onnx: Path) -> None:
    results = list(edgeseg.stream("synthetic:?frames=12&size=64x48", model=tiny_onnx))
    assert [result.frame.index for result in results] == list(range(12))
    for result in results:
        assert result.segmentation is not None
        assert result.segmentation.labels.shape == (48, 64)
        assert result.overlay_rgb_u8 is None
        assert result.inference is None
    assert not _threads()


def test_leaving_the_loop_ends_it_all(tiny_onnx: Path) -> None:
    for result in edgeseg.stream("synthetic:?live=1&size=64x48", model=tiny_onnx, overlay=0.5):
        assert result.overlay_rgb_u8 is not None
        break
    assert not _threads()


class Counted(edgeseg.Segmenter):
    """A model that counts the frames it has labelled."""

    finished = threading.Semaphore(0)

    def finish(self, inference: Inference) -> Segmentation:
        segmentation = super().finish(inference)
        self.finished.release()
        return segmentation


def test_a_slow_loop_gets_the_latest_of_a_live_source(tiny_onnx: Path) -> None:
    with Counted.open(tiny_onnx, threads=1) as model:
        assert isinstance(model, Counted)
        indices = []
        for result in islice(edgeseg.stream("synthetic:?live=1&fps=50&size=64x48", model=model), 6):
            indices.append(result.frame.index)
            model.finished = threading.Semaphore(0)
            for _ in range(5):  # a loop that takes so long
                model.finished.acquire()
    assert all(later - earlier >= 4 for earlier, later in pairwise(indices))


def test_several_sources_share_a_model_and_carry_their_names(tiny_onnx: Path) -> None:
    with edgeseg.Segmenter.open(tiny_onnx, threads=1) as segmenter:
        uris = ["synthetic:?frames=5&size=64x48", "synthetic:?frames=7&size=96x64&seed=2"]
        results = list(edgeseg.stream(uris, model=segmenter))
        assert {uri: sum(result.stream == uri for result in results) for uri in uris} == dict(
            zip(uris, (5, 7), strict=True)
        )
        assert segmenter(results[0].frame.rgb_u8).labels.shape == results[0].frame.size  # it stays open


def test_max_frames(tiny_onnx: Path) -> None:
    assert len(list(edgeseg.stream("synthetic:", model=tiny_onnx, max_frames=3))) == 3


@pytest.mark.parametrize(
    ("source", "model", "error"),
    [
        ("nowhere.mp4", None, SourceError),
        ("synthetic:", "no_such_net", ModelError),
    ],
)
def test_what_cannot_be_opened_is_raised_by_the_loop(source: str, model: str | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        next(edgeseg.stream(source, model=model))
    assert not _threads()


def test_sources_that_were_opened_before_one_that_cannot_be_are_closed(tiny_onnx: Path) -> None:
    server = MjpegServer()
    try:
        with pytest.raises(SourceError, match="there is no file"):
            list(edgeseg.stream([server.uri(), "gone.mp4"], model=tiny_onnx))
        for thread in _threads():
            thread.join(20)  # its reader ends with the next packet
        assert not _threads()
    finally:
        server.kill()


def test_what_breaks_on_the_way_is_raised_after_the_good_frames(tiny_onnx: Path, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    names: list[str] = []
    results = edgeseg.stream(tmp_path, model=tiny_onnx)
    with pytest.raises(DatasetError, match=r"c\.png"):
        names.extend(result.frame.name for result in results)
    assert names == ["a", "b"]
    assert not _threads()
