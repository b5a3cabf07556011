"""A real page on a free port, fed by hand; plain sockets, HTTP and WebSockets to look at it."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import logging
import math
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from edgeseg.spec import ModelSpec
from edgeseg.types import Frame, Result, Segmentation
from edgeseg.video.status import SourceState, StreamStatus
from edgeseg.video.telemetry import Latency, SinkReport
from edgeseg.video.web.sink import WebSink

SPEC = ModelSpec(
    network="none", class_names=("floor", "red box", "sky"), colors=((0, 0, 255), (255, 0, 0), (0, 255, 0))
)
HEIGHT, WIDTH = 96, 128
PATIENCE_S = 60.0  # a guard against hanging; no test waits for it


class Answer(NamedTuple):
    """What a request brought."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass
class Page:
    """A running page, and ways to look at it."""

    sink: WebSink
    streams: list[StreamStatus] = field(default_factory=list)
    sinks: list[SinkReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.streams = [self.status()]
        self.sink.follow(lambda: self.streams, lambda: self.sinks)

    @staticmethod
    def result(index: int = 0, stream: str = "", **latency_ms: float) -> Result:
        """A grey picture whose left half is the class ``floor`` and whose right half is ``red box``."""
        labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        labels[:, WIDTH // 2 :] = 1
        frame = Frame(np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8), index, time.monotonic())
        latency_ms = latency_ms or {"capture": 30.0, "infer": 8.0, "postprocess": 2.0}
        return Result(frame, segmentation=Segmentation(labels, SPEC), latency_ms=latency_ms, stream=stream)

    @staticmethod
    def noise(index: int = 0) -> Result:
        """A picture that compresses badly, to fill what lies between server and viewer."""
        rgb_u8 = np.random.default_rng(index).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        return Result(Frame(rgb_u8, index, time.monotonic()), segmentation=Segmentation(rgb_u8[..., 0] % 3, SPEC))

    @staticmethod
    def status(
        stream: str = "", condition: str = "running", reason: str = "", for_s: float = 0.0, **changes: Any
    ) -> StreamStatus:
        """How a stream stands: well, unless changed."""
        return StreamStatus(
            **{
                "stream": stream,
                "uri": f"camera:{stream or 0}",
                "state": SourceState(condition, reason, time.monotonic() - for_s, reconnects=2),
                "frames_in": 1234,
                "processed": 1200,
                "dropped": 34,
                "fps": 12.5,
                "latency": {
                    "capture": Latency(200, 30.0, 60.0, 90.0, 7000.0, ((50.0, 180), (100.0, 200), (math.inf, 200))),
                    "infer": Latency(
                        200, 8.0, 16.0, 24.0, 1850.0, ((2.5, 0), (10.0, 150), (25.0, 198), (math.inf, 200))
                    ),
                    "postprocess": Latency(200, 2.0, 4.0, 6.0, 450.0, ((2.5, 150), (10.0, 200), (math.inf, 200))),
                },
                "recent_ms": {"capture": 31.0, "infer": 7.5, "postprocess": 2.0},
                **changes,
            }
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.sink.url).port
        assert port is not None
        return port

    def get(self, path: str, **headers: str) -> Answer:
        """One request, with these headers; underscores in their names become dashes."""
        return self.ask("GET", path, **headers)

    def ask(self, method: str, path: str, body: str | None = None, source: str = "", **headers: str) -> Answer:
        """One request, by any method, with a body, or from another address of this machine (127.x.y.z)."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE_S, source_address=(source, 0) if source else None
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def live(self, query: str = "", **options: Any) -> ClientConnection:
        """A viewer like the page itself."""
        return connect(f"ws://127.0.0.1:{self.port}/live{query}", max_size=None, **options)

    def raw(self, request: bytes = b"", source: str = "") -> socket.socket:
        """A plain connection that has sent this, from an address of this machine."""
        where = (source, 0) if source else None
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S, source_address=where)
        plain.sendall(request)
        return plain

    def figure(self, name: str) -> float:
        """A figure without labels from /metrics."""
        found = re.search(rf"^{name} (\S+)$", self.get("/metrics").body.decode(), re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def wait_until(self, is_so: Callable[[], bool], make: Callable[[int], Result] | None = None) -> None:
        """Return when it is so, writing what ``make`` makes of 0, 1, … meanwhile; fail when it takes too long."""
        deadline_s = time.monotonic() + PATIENCE_S
        for index in itertools.count():
            if is_so():
                return
            assert time.monotonic() < deadline_s, "it did not become so in time"
            if make is not None:
                self.sink.write(make(index))
            time.sleep(0.02)


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page() -> Iterator[OpenPage]:
    """``open_page(token=…, stall_s=…)``: a page of one running stream, closed after the test."""
    pages: list[Page] = []

    def open_(**options: Any) -> Page:
        page = Page(WebSink(**{"port": 0, **options}))
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.sink.close()


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What the process writes to its log meanwhile, warnings and worse; without a handler it would be on stderr."""
    kept = _Kept()
    logging.getLogger().addHandler(kept)
    yield kept.lines
    logging.getLogger().removeHandler(kept)


@pytest.fixture(autouse=True)
def _no_tracebacks(log: list[str]) -> Iterator[None]:
    """Whatever a test does to the page, no line of the log is a bug's."""
    yield
    assert not [line for line in log if "Traceback" in line or "Exception" in line]


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page for this machine."""
    return open_page()
