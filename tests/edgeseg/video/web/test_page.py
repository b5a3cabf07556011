"""The page itself, in a headless Chromium: what a person would see."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import threading
from pathlib import Path

import pytest
from PIL import Image

from edgeseg.segmenter import Segmenter
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sources.registry import open_source
from edgeseg.video.stage import Segment
from edgeseg.video.telemetry import SinkReport
from edgeseg.video.web.picture import Encoding

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser; pip install playwright")

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
CANVAS = "#pictures canvas"
QUIET = [  # it asks its maker for nothing, and finds nobody but this machine
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@pytest.fixture(scope="module")
def chromium():
    """A browser for all tests here."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium; apt install chromium")
    with playwright.sync_playwright() as driver:
        options = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = driver.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium):
    """``look(page)``: the page in a tab of its own, whose errors and requests to other sites fail the test."""
    contexts, complaints = [], []

    def open_tab(page, url=None, **options):
        url = url or page.sink.url
        context = chromium.new_context(**(options or DESKTOP))
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda one: one.url.startswith((url, "blob:")) or complaints.append(one.url))
        tab.goto(url)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def fed(page):
    """A page that gets ten pictures a second meanwhile."""
    stop = threading.Event()
    page.feeds = {""}  # the streams that get pictures

    def feed():
        index = 0
        while not stop.wait(0.1):
            for stream in page.feeds:
                page.sink.write(page.result(index, stream))
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    yield page
    stop.set()
    thread.join()


def _color(tab, x, y, canvas=CANVAS):
    """The colour on the canvas at this fraction of width and height, as [R, G, B]."""
    return tab.evaluate(
        """([canvas, x, y]) => {
            const it = document.querySelector(canvas);
            const at = [Math.floor(x * it.width), Math.floor(y * it.height), 1, 1];
            return [...it.getContext("2d").getImageData(...at).data].slice(0, 3);
        }""",
        [canvas, x, y],
    )


def _wait_for_color(tab, x, y, color, canvas=CANVAS):
    tab.wait_for_function(
        """([canvas, x, y, color]) => {
            const it = document.querySelector(canvas);
            if (!it) return false;
            const at = [Math.floor(x * it.width), Math.floor(y * it.height), 1, 1];
            const pixel = it.getContext("2d").getImageData(...at).data;
            return color.every((value, i) => Math.abs(value - pixel[i]) <= 6);
        }""",
        arg=[canvas, x, y, color],
    )


def _drag_opacity(tab, percent):
    tab.locator("#opacity").fill(str(percent))


FLOOR, BOX = (0.2, 0.5), (0.8, 0.5)
GREY, BLUE, RED = [100, 100, 100], [0, 0, 255], [255, 0, 0]
HALF_BLUE, HALF_RED = [50, 50, 178], [178, 50, 50]


def test_the_opacity_begins_as_the_run_says(open_page, look):
    page = open_page(encoding=Encoding(opacity=1.0))
    page.sink.write(page.result())
    tab = look(page)
    _wait_for_color(tab, *FLOOR, BLUE)
    assert tab.locator("#opacity-text").inner_text() == "100 %"


def test_the_overlay_follows_the_opacity(fed, look):
    tab = look(fed)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    _wait_for_color(tab, *BOX, HALF_RED)
    _drag_opacity(tab, 0)
    _wait_for_color(tab, *FLOOR, GREY)
    _drag_opacity(tab, 100)
    _wait_for_color(tab, *FLOOR, BLUE)
    assert tab.locator("#opacity-text").inner_text() == "100 %"


def test_a_class_is_switched_off_and_on(fed, look):
    tab = look(fed)
    _wait_for_color(tab, *BOX, HALF_RED)
    tab.get_by_label("red box").click()
    _wait_for_color(tab, *BOX, GREY)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    tab.get_by_role("button", name="None").click()
    _wait_for_color(tab, *FLOOR, GREY)
    tab.get_by_role("button", name="All").click()
    _wait_for_color(tab, *BOX, HALF_RED)


def test_the_keyboard_is_enough(fed, look):
    tab = look(fed)
    _wait_for_color(tab, *BOX, HALF_RED)
    tab.get_by_label("red box").focus()
    tab.keyboard.press("Space")
    _wait_for_color(tab, *BOX, GREY)
    tab.get_by_label("Opacity").focus()
    tab.keyboard.press("End")
    _wait_for_color(tab, *FLOOR, BLUE)


def test_choices_are_remembered(fed, look):
    tab = look(fed)
    _wait_for_color(tab, *BOX, HALF_RED)
    tab.get_by_label("red box").click()
    _drag_opacity(tab, 100)
    tab.reload()
    _wait_for_color(tab, *FLOOR, BLUE)
    _wait_for_color(tab, *BOX, GREY)
    assert not tab.get_by_label("red box").is_checked()


def test_the_legend_names_the_classes_and_their_areas(fed, look):
    tab = look(fed)
    tab.wait_for_function("() => document.querySelectorAll('#classes .area')[0]?.textContent === '50 %'")
    assert tab.locator("#classes .name").all_inner_texts() == ["floor", "red box", "sky"]
    assert tab.locator("#classes .area").all_inner_texts() == ["50 %", "50 %", "0.0 %"]


def test_the_figures(fed, look):
    tab = look(fed)
    tab.wait_for_function("() => document.querySelector('#fps').textContent === '12.5'")
    assert tab.locator("#state-text").inner_text() == "live"
    assert tab.locator("#processed").inner_text() == "1,200"
    assert tab.locator("#dropped").inner_text() == "34"
    assert tab.locator("#dropped-share").inner_text() == "2.8 %"
    assert tab.locator("#reconnects").inner_text() == "2"
    assert tab.locator("#source").inner_text() == "camera:0"
    fed.streams = [fed.status(dropped=35)]
    tab.wait_for_function("() => document.querySelector('#dropped').textContent === '35'")


def test_latency_by_stage(fed, look):
    tab = look(fed)
    colored = """() => {
        const it = document.querySelector("#chart");
        const data = it.getContext("2d").getImageData(0, 0, it.width, it.height).data;
        let count = 0;
        for (let i = 0; i < data.length; i += 4) count += data[i] < 90 && data[i + 2] > 220;
        return count;
    }"""
    tab.wait_for_function(f"() => ({colored})() > 50")  # blue: the network's share
    rows = [row.split("\t") for row in tab.locator("#hops").inner_text().split("\n") if row.strip()]
    cells = [cell for row in rows for cell in row if cell]
    assert cells[cells.index("infer") + 1 : cells.index("infer") + 4] == ["8.0", "8.0", "16.0"]
    assert tab.locator("#latency").inner_text() == "10.0"  # without waiting for the camera
    tab.get_by_label("infer").click()
    tab.wait_for_function(f"() => ({colored})() < 20")


def test_a_lost_source_is_plain_to_see(fed, look):
    tab = look(fed)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    assert tab.locator(".banner").is_hidden()
    fed.feeds = set()
    fed.streams = [fed.status(condition="lost", reason="no route to host", for_s=12)]
    tab.get_by_text(re.compile(r"Source lost for \d+ s: no route to host")).wait_for()
    assert tab.locator("#state-text").inner_text() == "source lost"
    assert tab.locator("#said").inner_text() == "Source lost"
    assert "grayscale" in tab.evaluate("getComputedStyle(document.querySelector('#pictures canvas')).filter")
    fed.streams, fed.feeds = [fed.status()], {""}
    tab.wait_for_function("() => document.querySelector('#state-text').textContent === 'live'")
    assert tab.locator(".banner").is_hidden()


def test_who_comes_while_the_source_is_lost_sees_its_last_picture(page, look):
    page.sink.write(page.result())
    page.streams = [page.status(condition="lost", reason="unplugged", for_s=100)]
    tab = look(page)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    tab.get_by_text("unplugged").wait_for()


def test_what_failed_is_plain_to_see_while_the_rest_goes_on(fed, look):
    fed.streams = [fed.status("front", faults={"too large": 3}), fed.status("rear", failed="rear.mp4 is damaged.")]
    fed.feeds = {"front"}
    tab = look(fed)
    _wait_for_color(tab, *FLOOR, HALF_BLUE, 'figure[data-stream="front"] canvas')
    tab.get_by_text("The stream was given up: rear.mp4 is damaged.").wait_for()
    tab.get_by_text("front: 3 frames lost: too large").wait_for()
    assert tab.locator("#trouble li").count() == 1
    latency = fed.status().latency["infer"]
    fed.sinks = [SinkReport("Mp4Sink", 5, 115, latency, "out.mp4 <b>cannot be written</b>.")]
    tab.get_by_text("Output lost: out.mp4 <b>cannot be written</b>.").wait_for()
    fed.streams, fed.sinks = [fed.status()], []
    fed.feeds = {""}
    tab.locator("#trouble").wait_for(state="hidden")


def test_silence_is_plain_to_see(fed, look):
    """The source says that it runs, and no picture comes."""
    tab = look(fed)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    fed.feeds = set()
    tab.get_by_text("No new picture for").wait_for()


def test_a_server_that_went_is_noticed_and_found_again(fed, open_page, look):
    tab = look(fed)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    port, fed.feeds = fed.port, set()
    fed.sink.close()
    tab.get_by_text("No connection to edgeseg").first.wait_for()
    assert "stale" in tab.locator("figure").get_attribute("class")
    again = open_page(port=port)
    stop = threading.Event()
    feeding = threading.Thread(
        target=lambda: [again.sink.write(again.result(900)) for _ in iter(lambda: stop.wait(0.1), True)]
    )
    feeding.start()
    try:
        tab.locator("figure[data-index='900']").wait_for()
        tab.wait_for_function("() => document.querySelector('#state-text').textContent === 'live'")
    finally:
        stop.set()
        feeding.join()


class _Relay:
    """Stands between browser and server as a network does; ``freeze`` lets nothing through that is connected then."""

    def __init__(self, port):
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._sockets = []
        self._frozen = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self):
        self._frozen.update(self._sockets)

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        for one in (self._listening, *self._sockets):
            one.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [near, far]
                for here, there in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here, there):
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                if here in self._frozen:
                    return
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)


def test_a_connection_that_stalls_is_plain_to_see_and_made_anew(fed, look):
    with contextlib.closing(_Relay(fed.port)) as relay:
        tab = look(fed, relay.url)
        _wait_for_color(tab, *FLOOR, HALF_BLUE)
        relay.freeze()
        tab.get_by_text("The connection to edgeseg has stalled for").wait_for()
        assert "stale" in tab.locator("figure").get_attribute("class")
        tab.wait_for_function("() => document.querySelector('#state-text').textContent === 'live'")


def test_a_hidden_tab_costs_nothing(fed, look):
    tab = look(fed)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    for is_hidden, viewers in (("true", 0), ("false", 1)):
        tab.evaluate(
            f"""() => {{
                Object.defineProperty(document, "hidden", {{ value: {is_hidden}, configurable: true }});
                document.dispatchEvent(new Event("visibilitychange"));
            }}"""
        )
        fed.wait_until(lambda viewers=viewers: fed.figure("edgeseg_web_viewers") == viewers)


def test_several_streams_are_shown_together_or_one_alone(fed, look):
    fed.streams = [fed.status("front"), fed.status("rear & <b>", "lost", "unplugged", for_s=5)]
    fed.feeds = {"front", "rear & <b>"}
    tab = look(fed)
    for stream in fed.feeds:
        _wait_for_color(tab, *FLOOR, HALF_BLUE, f'figure[data-stream="{stream}"] canvas')
    tab.get_by_text("1 of 2 live").wait_for()
    assert tab.locator("#fps").inner_text() == "25.0"
    tab.locator("#chooser").get_by_text("rear & <b>").click()
    assert tab.locator('figure[data-stream="front"]').is_hidden()
    assert tab.locator('figure[data-stream="rear & <b>"]').is_visible()
    assert tab.locator("#fps").inner_text() == "12.5"
    assert tab.locator("#stages").is_visible()
    tab.locator("#chooser").get_by_text("All").click()
    assert tab.locator('figure[data-stream="front"]').is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(fed, look, scheme):
    fed.streams = [fed.status("a rather long name of a stream at the back door", uri="rtsp://" + "x" * 200)]
    fed.feeds = {fed.streams[0].stream}
    tab = look(fed, color_scheme=scheme, **PHONE)
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.locator(CANVAS).bounding_box()["width"] == pytest.approx(360, abs=24)


def test_the_token_is_typed_once(open_page, look):
    page = open_page(token="open sesame, please")
    page.sink.write(page.result())
    tab = look(page)
    tab.get_by_label("Token").fill("wrong")
    tab.keyboard.press("Enter")
    tab.get_by_text("That is not the token.").wait_for()
    assert tab.get_by_label("Token").bounding_box()["width"] > 200, "it has room on a desktop"
    tab.get_by_label("Token").fill("open sesame, please")
    tab.keyboard.press("Enter")
    _wait_for_color(tab, *FLOOR, HALF_BLUE)
    assert tab.url == page.sink.url
    tab.reload()
    _wait_for_color(tab, *FLOOR, HALF_BLUE)


def test_a_street_labelled_by_the_shipped_network(open_page, look, tmp_path):
    """All of it together. ``EDGESEG_WEB_PICTURE=docs/web.png`` keeps the picture of it, after a minute."""
    kept = os.environ.get("EDGESEG_WEB_PICTURE")
    page = open_page()
    with Segmenter.open("fast_scnn-camvid", threads=1, refine="guided") as segmenter:
        pipeline = Pipeline(open_source("synthetic:?live=1&fps=8&seed=3"), [Segment(segmenter)], [page.sink])
        page.sink.follow(pipeline.status, pipeline.sink_reports)
        running = threading.Thread(target=pipeline.run)
        running.start()
        try:
            desktop = look(page, color_scheme="light", viewport={"width": 1180, "height": 900})
            phone = look(page, color_scheme="dark", **(PHONE | {"viewport": {"width": 390, "height": 844}}))
            for tab in (desktop, phone):
                tab.wait_for_function("() => Number(document.querySelector('#fps').textContent) > 0")
                tab.wait_for_function("() => document.querySelector('#state-text').textContent === 'live'")
                tab.wait_for_function("() => Number(document.querySelector('figure').dataset.index) > 10")
            assert desktop.locator("#classes .name").all_inner_texts()[:2] == ["sky", "building"]
            if kept is not None:
                desktop.wait_for_timeout(62_000)
            desktop.screenshot(path=tmp_path / "desktop.png", full_page=True)
            phone.screenshot(path=tmp_path / "phone.png", full_page=True)
        finally:
            pipeline.stop()
            running.join(60)
    if kept is not None:
        _side_by_side(tmp_path / "desktop.png", tmp_path / "phone.png").save(Path(kept), optimize=True)


def _side_by_side(desktop_png, phone_png):
    desktop, phone = Image.open(desktop_png).convert("RGB"), Image.open(phone_png).convert("RGB")
    height = desktop.height * 4 // 5
    parts = [
        one.resize((one.width * height // one.height, height), Image.Resampling.LANCZOS) for one in (desktop, phone)
    ]
    both = Image.new("RGB", (sum(part.width for part in parts) + 20, height), (255, 255, 255))
    both.paste(parts[0], (0, 0))
    both.paste(parts[1], (both.width - parts[1].width, 0))
    return both.quantize(256, kmeans=4)
