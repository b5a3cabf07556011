"""What programs read: health, figures, status, pictures."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from edgeseg.errors import InputError, SinkError
from edgeseg.types import Frame, Result, Segmentation
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.status import SourceState
from edgeseg.video.telemetry import LatencyHistogram, SinkReport
from edgeseg.video.web.picture import Encoding


def _picture(page, stream=""):
    answer = page.get(f"/snapshot.jpg?stream={stream}" if stream else "/snapshot.jpg")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    return np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB")).astype(int)


def _unpack(message):
    """Header, picture and labels, as docs/web.md tells it."""
    end = 4 + int.from_bytes(message[:4], "little")
    header = json.loads(message[4:end])
    jpeg = Image.open(io.BytesIO(message[end : end + header["jpeg_bytes"]]))
    changes = np.frombuffer(zlib.decompress(message[end + header["jpeg_bytes"] :]), np.uint8)
    labels = np.bitwise_xor.accumulate(changes.reshape(header["height"], header["width"]), axis=0)
    return header, np.asarray(jpeg).astype(int), labels


def test_health_while_frames_flow(page):
    page.sink.write(page.result())
    answer = page.get("/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_health_of_a_lost_source_tells_why(page):
    page.streams = [page.status("front"), page.status("rear", "lost", "no route to host", for_s=12)]
    for name in ("front", "rear"):
        page.sink.write(page.result(stream=name))
    answer = page.get("/healthz")
    assert (answer.status, answer.json["status"]) == (503, "unhealthy")
    assert re.fullmatch(r"rear: source lost for \d+ s: no route to host", answer.json["reason"])


def test_health_of_a_source_that_fell_silent(open_page):
    page = open_page(silent_s=0.3)
    page.wait_until(lambda: page.get("/healthz").status == 200, page.result)
    page.wait_until(lambda: page.get("/healthz").status == 503)
    assert re.fullmatch(r"no frame for \d+ s", page.get("/healthz").json["reason"])
    page.wait_until(lambda: page.get("/healthz").status == 200, page.result)


def test_health_before_the_first_frame(page):
    page.streams = []
    assert page.get("/healthz").json["reason"] == "no stream yet"
    page.streams = [page.status(condition="connecting", for_s=3)]
    page.wait_until(lambda: re.fullmatch(r"connecting for \d+ s", page.get("/healthz").json["reason"]))


def test_figures_for_prometheus(page):
    page.streams = [page.status("front"), page.status('re"ar\\', "lost")]
    families = {family.name: family for family in text_string_to_metric_families(page.get("/metrics").body.decode())}

    def value(name, **labels):
        family = families[re.sub("_(total|bucket|sum|count)$", "", name)]
        return next(one.value for one in family.samples if one.name == name and one.labels == labels)

    assert value("edgeseg_frames_in_total", stream="front") == 1234
    assert value("edgeseg_frames_processed_total", stream="front") == 1200
    assert value("edgeseg_frames_dropped_total", stream='re"ar\\') == 34
    assert value("edgeseg_source_reconnects_total", stream="front") == 2
    assert value("edgeseg_fps", stream="front") == 12.5
    assert value("edgeseg_source_state", stream="front", state="running") == 1
    assert value("edgeseg_source_state", stream='re"ar\\', state="running") == 0
    assert value("edgeseg_source_state", stream='re"ar\\', state="lost") == 1
    assert value("edgeseg_latency_seconds_bucket", stream="front", hop="infer", le="0.01") == 150
    assert value("edgeseg_latency_seconds_bucket", stream="front", hop="infer", le="+Inf") == 200
    assert value("edgeseg_latency_seconds_count", stream="front", hop="infer") == 200
    assert value("edgeseg_latency_seconds_sum", stream="front", hop="infer") == pytest.approx(1.85)
    assert families["edgeseg_latency_seconds"].type == "histogram"
    assert value("edgeseg_web_viewers") == 0
    assert value("process_resident_memory_bytes") > 1e6


def test_latency_of_a_run_is_buckets_that_only_grow(open_page):
    """What comes from the pipeline's own histogram, read by Prometheus' own parser."""
    page, histogram = open_page(), LatencyHistogram()
    counts = []
    for ms in (0.05, 3.0, 3.0, 7.0, 900.0, 60_000.0):
        histogram.add(ms)
        page.streams = [page.status(latency={"infer": histogram.summary()})]
        families = {one.name: one for one in text_string_to_metric_families(page.get("/metrics").body.decode())}
        samples = families["edgeseg_latency_seconds"].samples
        buckets = [(float(one.labels["le"]), one.value) for one in samples if one.name.endswith("_bucket")]
        assert buckets == sorted(buckets), "bounds grow, and with them the counts"
        assert math.isinf(buckets[-1][0])
        counts.append([count for _, count in buckets])
    assert all(
        later >= earlier for one, other in itertools.pairwise(counts) for earlier, later in zip(one, other, strict=True)
    )
    assert dict(buckets)[0.005] == 3
    assert buckets[-1][1] == next(one.value for one in samples if one.name.endswith("_count")) == 6
    assert next(one.value for one in samples if one.name.endswith("_sum")) == pytest.approx(60.91305)


def test_counters_never_go_back(page):
    page.streams = [page.status("gate", frames_in=500)]
    assert b'edgeseg_source_reconnects_total{stream="gate"} 2.0' in page.get("/metrics").body
    page.streams = [page.status("gate", frames_in=3, state=SourceState("ended"))]
    figures = page.get("/metrics").body
    assert b'edgeseg_source_reconnects_total{stream="gate"} 2.0' in figures
    assert b'edgeseg_frames_in_total{stream="gate"} 500.0' in figures


@pytest.mark.parametrize("name", ['a"b\\c\nd', "двор, улица", "{}=,# HELP", "not UTF-8: \udcff"])
def test_any_name_of_a_stream_is_a_label(page, name):
    page.streams = [page.status(name)]
    text = page.get("/metrics").body.decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    shown = name.replace("\udcff", "?")
    assert [one.value for one in samples if one.name == "edgeseg_fps" and one.labels == {"stream": shown}] == [12.5]
    assert page.get("/status.json").json["streams"][0]["stream"] == name


def test_what_failed_is_told_while_the_rest_goes_on(page):
    latency = page.status().latency["infer"]
    page.sinks = [
        SinkReport("Mp4Sink", 120, 0, latency),
        SinkReport("Mp4Sink", 5, 115, latency, "b.mp4 cannot be written: no space left on device."),
    ]
    page.streams = [
        page.status("front", faults={"frame 7: too large": 3}),
        page.status("rear", failed="a.mp4 is damaged."),
    ]
    page.sink.write(page.result(stream="front"))
    health = page.get("/healthz")
    assert health.status == 503
    assert "b.mp4 cannot be written: no space left on device." in health.json["reason"]
    assert "rear: ended before its time: a.mp4 is damaged." in health.json["reason"]
    assert "front" not in health.json["reason"]
    status = page.get("/status.json").json
    assert [one["failed"] != "" for one in status["sinks"]] == [False, True]
    assert [one["failed"] for one in status["streams"]] == ["", "a.mp4 is damaged."]
    assert status["streams"][0]["faults"] == {"frame 7: too large": 3}
    figures = page.get("/metrics").body.decode()
    for line in (
        'edgeseg_sink_failed{sink="Mp4Sink"} 0.0',
        'edgeseg_sink_failed{sink="Mp4Sink 2"} 1.0',
        'edgeseg_sink_results_written_total{sink="Mp4Sink 2"} 5.0',
        'edgeseg_sink_results_dropped_total{sink="Mp4Sink 2"} 115.0',
        'edgeseg_stream_failed{stream="rear"} 1.0',
        'edgeseg_frames_faulty_total{stream="front"} 3.0',
    ):
        assert line in figures.splitlines()


def test_two_runs_in_one_process_do_not_clash(open_page):
    first, second = open_page(), open_page()
    second.streams = [second.status(fps=99.0)]
    assert 'edgeseg_fps{stream=""} 12.5' in first.get("/metrics").body.decode()
    assert 'edgeseg_fps{stream=""} 99.0' in second.get("/metrics").body.decode()


def test_the_status_has_what_the_page_shows(page):
    page.sink.write(page.result(7))
    status = page.get("/status.json").json
    assert status["classes"][1] == {"name": "red box", "color": "#ff0000"}
    stream = status["streams"][0]
    assert (stream["condition"], stream["processed"], stream["dropped"]) == ("running", 1200, 34)
    assert stream["latency_ms"]["infer"] == {"p50": 8.0, "p95": 16.0, "p99": 24.0}
    assert stream["frame_age_s"] < 5


def test_the_last_minute_is_kept_second_by_second(page):
    def history_ms():
        return page.get("/status.json").json["streams"][0]["history_ms"]

    page.sink.write(page.result())
    page.wait_until(lambda: history_ms().get("infer", []).count(8.0) >= 2, page.result)
    history_ms = history_ms()
    assert {len(means) for means in history_ms.values()} == {60}
    assert history_ms["infer"][-1] in (8.0, None)
    assert history_ms["infer"][0] is None


def test_a_status_without_frames_is_still_json(page):
    nan = page.status().latency["infer"].__class__(0, float("nan"), float("nan"), float("nan"))
    page.streams = [page.status(latency={"infer": nan}, recent_ms={})]
    assert page.get("/status.json").json["streams"][0]["latency_ms"]["infer"]["p50"] is None
    assert "edgeseg_latency_seconds{" not in page.get("/metrics").body.decode()


def test_a_snapshot_is_the_overlay(page):
    page.sink.write(page.result())
    picture = _picture(page)
    floor, box = picture[:, :50].mean((0, 1)), picture[:, 80:].mean((0, 1))
    assert floor == pytest.approx((50, 50, 178), abs=6)
    assert box == pytest.approx((178, 50, 50), abs=6)


def test_a_snapshot_of_one_stream_of_several(page):
    page.sink.write(page.result(stream="front"))
    wide = Frame(np.zeros((20, 200, 3), np.uint8), 0, 0.0)
    spec = page.result().segmentation.spec
    page.sink.write(Result(wide, segmentation=Segmentation(np.zeros((20, 200), np.uint8), spec), stream="rear"))
    assert _picture(page, "front").shape == (96, 128, 3)
    assert _picture(page, "rear").shape == (20, 200, 3)


def test_a_snapshot_before_the_first_picture(page, monkeypatch):
    monkeypatch.setattr("edgeseg.video.web.app._PICTURE_WITHIN_S", 0.2)
    assert page.get("/snapshot.jpg").status == 503


def test_the_live_message_has_picture_and_labels(page):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (37, 53), dtype=np.uint8)
    labels[3, 4] = 255
    rgb_u8 = np.full((37, 53, 3), (200, 100, 50), np.uint8)
    spec = page.result().segmentation.spec
    page.sink.write(Result(Frame(rgb_u8, 5, 0.0), segmentation=Segmentation(labels, spec), stream="ä/1"))
    with page.live() as viewer:
        message = next(one for one in iter(lambda: viewer.recv(timeout=60), None) if isinstance(one, bytes))
    header, picture, received = _unpack(message)
    assert (header["stream"], header["index"], header["width"], header["height"]) == ("ä/1", 5, 53, 37)
    assert np.abs(picture - rgb_u8).max() < 8
    np.testing.assert_array_equal(received, labels)


def test_large_frames_are_made_smaller(open_page):
    page = open_page(encoding=Encoding(max_width=320))
    page.sink.write(page.noise())
    assert _picture(page).shape == (240, 320, 3)
    with page.live() as viewer:
        message = next(one for one in iter(lambda: viewer.recv(timeout=60), None) if isinstance(one, bytes))
    assert set(np.unique(_unpack(message)[2])) <= {0, 1, 2}


def test_mjpeg_is_one_jpeg_after_the_other(page):
    with page.raw(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n") as plain:
        received = bytearray()

        def has_three():
            return received.count(b"\xff\xd9\r\n") >= 3

        reader = threading.Thread(target=lambda: _read_until(plain, received, has_three))
        reader.start()
        page.wait_until(has_three, page.result)
        reader.join()
    assert b"multipart/x-mixed-replace; boundary=edgeseg-frame" in received
    parts = bytes(received).split(b"--edgeseg-frame\r\nContent-Type: image/jpeg\r\n")
    body = parts[1].partition(b"\r\n\r\n")[2]
    assert Image.open(io.BytesIO(body)).size == (128, 96)


def _read_until(plain, received, is_done):
    while not is_done() and (data := plain.recv(65536)):
        received += data


def test_options_out_of_range_are_refused():
    for options in ({"jpeg_quality": 0}, {"jpeg_quality": 101}, {"max_width": 1}):
        with pytest.raises(InputError):
            Encoding(**options)


def test_rates_out_of_range_are_refused(open_page):
    for options in ({"max_fps": 0}, {"stall_s": -1.0}, {"silent_s": float("nan")}):
        with pytest.raises(InputError, match=f"{next(iter(options))} of the page is"):
            open_page(**options)


def test_a_result_without_labels_is_refused(page):
    with pytest.raises(InputError, match="Put Segment among the stages"):
        page.sink.write(Result(page.result().frame))


def test_writing_after_close_is_refused(page):
    page.sink.close()
    with pytest.raises(SinkError, match="is closed"):
        page.sink.write(page.result())


def test_a_picture_that_cannot_be_encoded_costs_itself_alone(page, log):
    """Those after it, and those of other streams, are shown."""
    spec = page.result().segmentation.spec
    nothing = np.zeros((0, 0, 3), np.uint8)
    page.sink.write(page.result(0, "other"))
    with page.live() as viewer:
        _next(viewer)
        page.sink.write(Result(Frame(nothing, 1, 0.0), segmentation=Segmentation(nothing[..., 0], spec)))
        page.wait_until(lambda: bool(log))
        for index, stream in ((5000, ""), (6000, "other")):
            page.sink.write(page.result(index, stream))
            while f'"index": {index}'.encode() not in _next(viewer):
                pass
    [line] = log
    assert line.startswith("edgeseg: a picture for the page could not be encoded: ")


def _next(viewer):
    while not isinstance(message := viewer.recv(timeout=60), bytes):
        pass
    viewer.send("next")
    return message


@pytest.mark.parametrize("size", [(70_000, 16), (16, 70_000), (1, 1)])
def test_pictures_of_any_shape_are_shown(page, size):
    spec = page.result().segmentation.spec
    labels = np.zeros(size, np.uint8)
    page.sink.write(Result(Frame(np.zeros((*size, 3), np.uint8), 3, 0.0), segmentation=Segmentation(labels, spec)))
    height, width = _picture(page).shape[:2]
    assert height <= 8192
    assert width <= 1280
    with page.live() as viewer:
        header, _, received = _unpack(_next(viewer))
    assert received.shape == (header["height"], header["width"]) == (height, width)


class _Camera(OnePassSource):
    """Grey frames until closed."""

    def __init__(self):
        super().__init__(StreamInfo("camera:grey", live=True))

    def _frames(self):
        index = 0
        while not self._closed:
            yield Frame(np.full((96, 128, 3), 100, np.uint8), index, time.monotonic())
            index += 1
            time.sleep(0.01)

    def _release(self):
        """Nothing is held."""


def test_a_running_pipeline_is_shown(open_page):
    page = open_page()
    labels, spec = page.result().segmentation.labels, page.result().segmentation.spec

    def segment(result):
        result.segmentation = Segmentation(labels, spec)
        result.latency_ms["infer"] = 1.0
        return result

    pipeline = Pipeline(_Camera(), [segment], [page.sink])
    page.sink.follow(pipeline.status, pipeline.sink_reports)
    running = threading.Thread(target=pipeline.run)
    running.start()
    try:
        page.wait_until(lambda: page.get("/status.json").json["streams"][0]["processed"] > 0)
        assert page.get("/healthz").status == 200
        with page.live() as viewer:
            assert next(one for one in iter(lambda: viewer.recv(timeout=60), None) if isinstance(one, bytes))
        assert page.get("/status.json").json["streams"][0]["uri"] == "camera:grey"
    finally:
        pipeline.stop()
        running.join(30)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgeseg")]
