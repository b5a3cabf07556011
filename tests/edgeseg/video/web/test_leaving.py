"""Viewers leave in every way there is, and the log has not a word of it."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading

import pytest
from websockets.exceptions import ConnectionClosed

from edgeseg.errors import SinkError

UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASKED_CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
REQUESTS = {
    "live": UPGRADE,
    "mjpeg": b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "mjpeg by HTTP/1.0": b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n",
    "snapshot": b"GET /snapshot.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "many at once": b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "half a form": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ntoken=",
}


def _finish(plain):
    plain.close()


def _reset(plain):
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def _half_close(plain):
    plain.shutdown(socket.SHUT_WR)
    while plain.recv(1 << 16):
        pass
    plain.close()


def _say_goodbye(plain):
    plain.sendall(MASKED_CLOSE)
    while plain.recv(1 << 16):
        pass
    plain.close()


def _say_goodbye_and_reset(plain):
    plain.sendall(MASKED_CLOSE)
    _reset(plain)


def _talk_nonsense(plain):
    plain.sendall(b"\xff" * 100)
    _reset(plain)


def _feed(page, stop, pictures):
    with contextlib.suppress(SinkError):  # a test may close the page
        for picture in itertools.cycle(pictures):
            if stop.wait(0.002):
                return
            page.sink.write(picture)


@pytest.fixture
def fed(open_page):
    """A page that gets pictures as fast as it takes them, so that one is under way whenever somebody leaves."""
    page = open_page(max_fps=1000.0)
    stop = threading.Event()

    pictures = [page.noise(index) for index in range(5)]
    thread = threading.Thread(target=_feed, args=(page, stop, pictures))
    thread.start()
    yield page
    stop.set()
    thread.join()


def _leave(plain, way):
    with contextlib.suppress(ConnectionError):  # the server may have been first
        way(plain)
    plain.close()


WAYS = [(name, way) for name in REQUESTS for way in (_finish, _reset, _half_close, _talk_nonsense)]


@pytest.mark.parametrize(("request_", "way"), [*WAYS, ("live", _say_goodbye), ("live", _say_goodbye_and_reset)])
def test_leaving_in_the_middle_of_it(fed, request_, way, log):
    for _ in range(5):
        plain = fed.raw(REQUESTS[request_])
        with contextlib.suppress(ConnectionError):
            plain.recv(2000)
        _leave(plain, way)
    fed.wait_until(lambda: fed.figure("edgeseg_web_viewers") == 0)
    fed.sink.close()
    assert log == []


@pytest.mark.parametrize("request_", REQUESTS)
def test_leaving_before_the_answer(fed, request_, log):
    for length in (*range(1, len(REQUESTS[request_]), 37), *[None] * 10):
        _reset(fed.raw(REQUESTS[request_][:length]))
        _finish(fed.raw(REQUESTS[request_][:length]))
    fed.wait_until(lambda: fed.figure("edgeseg_web_viewers") == 0)
    fed.sink.close()
    assert log == []


def test_a_viewer_that_closes_as_browsers_do(fed, log):
    for _ in range(10):
        with fed.live() as viewer:
            viewer.recv(timeout=60)
    fed.wait_until(lambda: fed.figure("edgeseg_web_viewers") == 0)
    assert log == []


def test_leaving_while_pictures_and_news_are_sent_at_once(open_page, log, monkeypatch):
    """Both find the viewer gone, the second of them a socket that is closed already."""
    monkeypatch.setattr("edgeseg.video.web.live._NEWS_S", 0.001)
    page = open_page(max_fps=1000.0)
    stop = threading.Event()
    feeding = threading.Thread(target=_feed, args=(page, stop, [page.result()]))
    feeding.start()

    def look():
        for number in range(25):
            with page.live() as viewer:
                for _ in range(number % 7):
                    if isinstance(viewer.recv(timeout=60), bytes):
                        viewer.send("next")

    looking = [threading.Thread(target=look) for _ in range(4)]
    for one in looking:
        one.start()
    for one in looking:
        one.join()
    stop.set()
    feeding.join()
    page.wait_until(lambda: page.figure("edgeseg_web_viewers") == 0)
    assert log == []


def test_the_run_ends_while_viewers_look_and_leave(fed, log):
    """The page closes the sockets itself, and pictures were under way to them."""
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(fed.live()) for _ in range(5)]
        plain = [fed.raw(REQUESTS[name]) for name in REQUESTS for _ in range(3)]
        fed.wait_until(lambda: fed.figure("edgeseg_web_viewers") >= 14)
        closing = threading.Thread(target=fed.sink.close)
        closing.start()
        for one in plain:
            _reset(one)
        for viewer in viewers:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    viewer.recv(timeout=60)
        closing.join()
    assert log == []
