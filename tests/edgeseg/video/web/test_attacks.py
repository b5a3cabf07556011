"""What anyone who reaches the port could do to a run: it and its recording go on, and the log stays small."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from urllib.request import urlopen

import av
import pytest
from websockets.exceptions import ConnectionClosed

from edgeseg.video.web.door import Limits, descriptors_allowed

pytestmark = pytest.mark.any_python

DESCRIPTORS = 200  # of the run that is attacked: 50 connections, 32 from one address
FEW_DESCRIPTORS = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
os.execv(sys.argv[1], sys.argv[1:])
"""
GUARD_S = 120
UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def _wait_until(is_so):
    deadline_s = time.monotonic() + GUARD_S
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not become so in time"
        time.sleep(0.02)


class Run:
    """``edgeseg run`` with a page and a recording, which may open few descriptors."""

    def __init__(self, folder, model):
        self.video, self.lines, self.log = folder / "out.mp4", folder / "out.jsonl", folder / "log"
        command = [sys.executable, "-c", FEW_DESCRIPTORS, sys.executable, "-m", "edgeseg", "run"]
        command += ["synthetic:?live=1&fps=20", "--model", str(model)]
        command += ["--web", "0", "--save", str(self.video), "--jsonl", str(self.lines), "--threads", "1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
            )
        _wait_until(lambda: (self.port and self.frames) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    @property
    def port(self):
        found = re.search(r"the page is at http://127\.0\.0\.1:(\d+)/", self.log.read_text())
        return found and int(found[1])

    @property
    def frames(self):
        return self.lines.read_bytes().count(b"\n") if self.lines.exists() else 0

    def goes_on(self):
        """Wait for ten more frames in the recording's companion."""
        before = self.frames
        _wait_until(lambda: self.frames >= before + 10 or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def open(self, count, source=None):
        """So many connections that say nothing, kept open."""
        where = (source, 0) if source else None
        found = []
        for _ in range(count):
            with contextlib.suppress(ConnectionError):
                found.append(socket.create_connection(("127.0.0.1", self.port), GUARD_S, source_address=where))
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(GUARD_S)


def _is_closed(plain):
    plain.setblocking(False)
    try:
        return bool(plain.recv(1000)) or True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_onnx):
    """The run that all attacks here are made on."""
    one = Run(tmp_path_factory.mktemp("attacked"), tiny_onnx)
    yield one
    one.close()


@pytest.fixture
def crowd():
    """A list of sockets that are closed after the test."""
    sockets = []
    yield sockets
    for one in sockets:
        one.close()


def test_more_connections_than_descriptors(run, crowd):
    """Empty ones make way for who asks; none takes the recording's descriptors."""
    crowd += run.open(2 * DESCRIPTORS)
    with urlopen(f"http://127.0.0.1:{run.port}/healthz", timeout=GUARD_S) as answer:
        assert answer.status == 200
    _wait_until(lambda: sum(not _is_closed(one) for one in crowd) <= DESCRIPTORS // 4)
    run.goes_on()


def test_one_address_gets_its_share_and_others_theirs(run, crowd):
    crowd += run.open(60, source="127.0.0.2")
    _wait_until(lambda: sum(_is_closed(one) for one in crowd) >= 60 - 32)
    refused = run.open(1, source="127.0.0.2")[0]
    with refused:
        assert refused.recv(1000).startswith(b"HTTP/1.1 503")
    other = run.open(1, source="127.0.0.3")[0]
    with other:
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.recv(1000).startswith(b"HTTP/1.1 200")
    run.goes_on()


def test_viewers_that_take_all_places(run, crowd):
    """They are watched, and so stay; who comes later is turned away."""
    answers = []
    for _ in range(DESCRIPTORS // 4 + 5):
        crowd += run.open(1)
        answers.append(b"")
        with contextlib.suppress(ConnectionError):
            crowd[-1].sendall(UPGRADE + b"\r\n")
            answers[-1] = crowd[-1].recv(1000)
    assert all(one.startswith(b"HTTP/1.1 101") for one in answers[: DESCRIPTORS // 4])
    assert not any(one.startswith(b"HTTP/1.1 101") for one in answers[DESCRIPTORS // 4 :])
    with run.open(1)[0] as late:
        assert late.recv(1000).startswith(b"HTTP/1.1 503")
    run.goes_on()


def test_connections_that_come_and_go_as_fast_as_they_can(run):
    def knock():
        for number in range(400):
            for plain in run.open(1, source=f"127.0.1.{number % 200 + 1}"):
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                plain.close()

    knocking = [threading.Thread(target=knock) for _ in range(4)]
    for one in knocking:
        one.start()
    for one in knocking:
        one.join()
    run.goes_on()


def test_the_run_that_was_attacked_ends_well(run):
    """The last of them: the recording is whole, and the log has a few lines."""
    run.goes_on()
    assert run.close() == 0
    with av.open(str(run.video)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 30
    log = run.log.read_text()
    assert "Traceback" not in log
    assert "too many" in log or "turned away" in log
    assert len(log) < 20_000


def test_out_of_descriptors_the_page_turns_away_and_recovers():
    """Something else in the process has taken them all; the log gets a line, not one for each try."""
    program = """
import contextlib, os, resource, socket, sys, urllib.request
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from edgeseg.video.web.sink import WebSink
sink = WebSink(port=0)
port = int(sink.url.rsplit(":", 1)[1].strip("/"))
with socket.create_connection(("127.0.0.1", port)) as first:
    first.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
    while first.recv(65536):
        pass
ours = [socket.socket() for _ in range(5)]
taken = []
with contextlib.suppress(OSError):
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
for one in ours:
    one.settimeout(60)
    one.connect(("127.0.0.1", port))
    with contextlib.suppress(ConnectionError):
        assert one.recv(100) == b"", "it is let in without a descriptor"
for one in taken:
    os.close(one)
print(urllib.request.urlopen(sink.url).status)
sink.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    assert done.stderr == "edgeseg: no connection to the page can be accepted: Too many open files\n"


def test_the_limits_are_those_of_the_guide():
    limits = Limits()
    assert limits.connections == max(8, min(256, descriptors_allowed() // 4))
    assert (limits.per_address, limits.head_s) == (32, 10.0)


SLOW = {
    "nothing": (b"", b""),
    "a byte at a time": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"),
    "a header at a time": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
    "empty lines": (b"", b"\r\n"),
    "a slow handshake": (UPGRADE, b"X: y\r\n"),
    "a second request": (b"GET /style.css HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n", b"X: y\r\n"),
    "a body": (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"a"),
    "a form": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"a"),
    "a body in chunks": (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "a body nobody asked for": (b"GET /style.css HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"a"),
}


@pytest.mark.parametrize("slow", SLOW)
def test_a_request_that_never_ends_is_ended(open_page, slow, monkeypatch):
    monkeypatch.setattr("edgeseg.video.web.access._FORM_WITHIN_S", 0.5)
    page = open_page(token="a secret of some length", limits=Limits(head_s=0.5))
    begin, more = SLOW[slow]
    with page.raw(begin) as plain, contextlib.suppress(ConnectionError):
        while not _is_closed_for_good(plain):
            plain.sendall(more)


def _is_closed_for_good(plain):
    """Whether the other end has closed; waits a moment for it."""
    plain.settimeout(0.02)
    try:
        while plain.recv(65536):
            pass
        return True
    except TimeoutError:
        plain.settimeout(GUARD_S)
        return False


def test_who_reads_no_answer_is_ended(open_page):
    page = open_page(limits=Limits(head_s=0.5, answer_s=0.5))
    with page.raw() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(ConnectionError):
            while True:
                plain.sendall(b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


def test_a_stream_may_last_longer_than_an_answer(open_page):
    page = open_page(limits=Limits(head_s=0.3, answer_s=0.3))
    with page.live() as viewer, page.raw(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n") as plain:
        texts = 0
        while texts < 3:  # one a second
            texts += isinstance(viewer.recv(timeout=60), str)
        page.sink.write(page.result(77))
        received = b""
        while b"\xff\xd9" not in received:
            received += plain.recv(65536)


def test_asking_for_the_head_of_a_stream_is_no_viewer(page):
    for path in ("/stream.mjpg", "/snapshot.jpg", "/"):
        page.sink.write(page.result())
        answer = page.ask("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
    assert page.figure("edgeseg_web_viewers") == 0


def test_health_is_asked_of_the_run_seldom_however_often_it_is_asked_for(page):
    asked = 0

    def status():
        nonlocal asked
        asked += 1
        return page.streams

    page.sink.follow(status)
    page.sink.write(page.result())
    start_s = time.monotonic()
    with page.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500) as plain:
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 500:
            received += plain.recv(65536)
    assert asked <= 2 + (time.monotonic() - start_s) / 0.5


def test_a_message_that_is_too_large_ends_the_viewer(page):
    with page.live() as viewer:
        viewer.send("next" * 2000)
        with pytest.raises(ConnectionClosed) as end:
            collections.deque(iter(viewer.recv, None))
    assert end.value.rcvd.code == 1009


def test_compression_that_could_hide_a_bomb_is_not_spoken(page):
    with page.live(compression="deflate") as viewer:
        assert not viewer.protocol.extensions
    squeezed = b"\xc1\x84\x00\x00\x00\x00\xff\xff\xff\xff"  # marked as deflated
    with page.raw(UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n") as plain:
        assert b"permessage-deflate" not in plain.recv(1000)
        plain.sendall(squeezed)
        assert _to_the_end(plain)[-40:].count(struct.pack(">H", 1002)), "closed for a protocol error"


def _to_the_end(plain):
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := plain.recv(65536):
            received += data
    return received


MASK = b"\x00\x00\x00\x00"


def test_a_message_of_endless_empty_parts_ends_the_viewer(page):
    with page.raw(UPGRADE + b"\r\n") as plain, contextlib.suppress(ConnectionError):
        plain.recv(1000)
        plain.sendall(b"\x01\x80" + MASK)
        while not _is_closed_for_good(plain):
            plain.sendall((b"\x00\x80" + MASK) * 100)


def test_pings_of_one_who_does_not_read_are_not_kept(open_page, monkeypatch):
    monkeypatch.setattr("edgeseg.video.web.protocols._MOST_KEPT", 2**18)
    page = open_page(stall_s=600.0)
    with page.raw(UPGRADE + b"\r\n") as plain, contextlib.suppress(ConnectionError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.recv(1000)
        while True:
            plain.sendall((b"\x89\xfd" + MASK + b"x" * 125) * 1000)


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"y" * 10_000,
        b"\r\n".join(b"X%d: y" % number for number in range(500)),
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Sec-WebSocket-Key: again",
        b"Sec-WebSocket-Protocol: \xff\xfe, ,,",
        b"Origin: \xff",
        b"Upgrade: h2c",
    ],
    ids=[
        "a long header",
        "many headers",
        "a body",
        "a chunked body",
        "two keys",
        "a protocol",
        "an origin",
        "two upgrades",
    ],
)
def test_a_handshake_that_is_odd_is_no_traceback(page, head, log):
    with page.raw(UPGRADE + head + b"\r\n\r\n") as plain:
        plain.recv(1000)
    page.wait_until(lambda: page.figure("edgeseg_web_viewers") == 0)
    assert log == []


@pytest.mark.parametrize("query", ["a=1&" * 3000, "stream=" + "%41" * 4000, "stream=%ff%00", "stream", "&&&;;;=", "%"])
def test_any_query_is_answered(page, query):
    page.sink.write(page.result())
    for path in ("/healthz", "/status.json", "/metrics"):
        assert page.get(f"{path}?{query}").status == 200


def test_a_head_that_is_too_large_is_refused(page, log):
    for head in (b"GET /?" + b"a" * 30_000, b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=b;" * 10_000):
        with page.raw() as plain, contextlib.suppress(ConnectionError):
            plain.sendall(head)
            assert _to_the_end(plain).startswith(b"HTTP/1.1 400")
    assert log == []


def test_what_uvicorn_logs_of_others_is_left_as_it_was(open_page):
    """A service that shows edgeseg's page beside its own has one log for both."""
    import logging

    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")]
    handler = logging.NullHandler()
    loggers[2].addHandler(handler)
    before = [(one.level, one.propagate, list(one.handlers), list(one.filters)) for one in loggers]
    open_page().get("/")
    assert [(one.level, one.propagate, list(one.handlers), list(one.filters)) for one in loggers] == before
    loggers[2].removeHandler(handler)
