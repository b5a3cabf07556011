"""Many viewers, slow ones, and those who vanish: nobody waits for them, and nothing hangs."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import socket
import struct
import threading

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

HANDSHAKE = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MJPEG = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
FAULTS = {
    "nothing": b"",
    "half a request": b"GET /status.json HTT",
    "half the headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a bad method": b"G E T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an endless line": b"GET /" + b"a" * 200_000,
    "endless headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000,
    "a body that never comes": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a path that is none": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a name that is none": b"GET / HTTP/1.1\r\nHost: [\xff\r\n\r\n",
    "half a WebSocket": b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a WebSocket that speaks nonsense": HANDSHAKE + b"\xff" * 100,
    "a WebSocket that says too much": HANDSHAKE + b"\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00abcd" + b"x" * 100_000,
}


def _viewers(page):
    return page.figure("edgeseg_web_viewers")


def _dropped(page):
    return page.figure("edgeseg_web_viewers_dropped_total")


def _encoded(page):
    return page.figure("edgeseg_web_pictures_encoded_total")


def _pictures(viewer):
    """The next picture, told that there is room for another."""
    while not isinstance(message := viewer.recv(timeout=60), bytes):
        pass
    viewer.send("next")
    return message


def _reset(plain):
    """Go without a word, as a phone that lost its network does."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def test_with_no_viewers_nothing_is_encoded(page):
    for index in range(20):
        page.sink.write(page.result(index))
    assert _encoded(page) == 0


def test_fifty_viewers_cost_one_encode_a_frame(page):
    frames = 8

    async def look(viewer, arrived):
        received = []
        while len(received) < frames:
            if isinstance(message := await viewer.recv(), bytes):
                received.append(message)
                await viewer.send("next")
                arrived.release()
        return received

    async def watch():
        async with contextlib.AsyncExitStack() as stack:
            url = f"ws://127.0.0.1:{page.port}/live"
            viewers = [await stack.enter_async_context(connect(url)) for _ in range(50)]
            arrived = asyncio.Semaphore(0)
            looking = [asyncio.create_task(look(viewer, arrived)) for viewer in viewers]
            for index in range(frames):
                page.sink.write(page.result(index))
                for _ in viewers:
                    await asyncio.wait_for(arrived.acquire(), 30)
            return await asyncio.gather(*looking)

    received = asyncio.run(watch())
    assert len(received) == 50
    assert all(one == received[0] for one in received)
    assert len(set(received[0])) == frames
    assert _encoded(page) == frames


def test_viewers_of_both_kinds_share_what_they_can(page):
    with page.live() as first, page.live() as second, page.raw(MJPEG), page.raw(MJPEG):
        page.wait_until(lambda: _viewers(page) == 4)
        page.sink.write(page.result())
        assert _pictures(first) == _pictures(second)
        page.wait_until(lambda: _encoded(page) == 2)


def test_who_comes_late_sees_the_last_picture(page):
    """A lost source leaves its last picture behind."""
    page.sink.write(page.result(41))
    with page.live() as first, page.live() as second:
        assert b'"index": 41' in _pictures(first)
        assert b'"index": 41' in _pictures(second)
    assert _encoded(page) == 1


def test_a_slow_viewer_gets_the_newest_picture(page):
    with page.live() as viewer:
        page.sink.write(page.result(0))
        _pictures(viewer)
        for index in range(1, 50):
            page.sink.write(page.result(index))
        indices = [_index(_pictures(viewer))]
        while indices[-1] != 49:
            indices.append(_index(_pictures(viewer)))
    assert len(indices) < 10
    assert indices == sorted(indices)


def _index(message):
    return int(message.partition(b'"index": ')[2].partition(b",")[0])


def test_a_viewer_chooses_its_stream(page):
    streams = ["front", "rear"]
    with page.live() as viewer:
        seen = set()

        def look_both(index):
            if index:
                seen.add(_pictures(viewer).partition(b'"stream": "')[2].partition(b'"')[0])
            return page.result(index, streams[index % 2])

        page.wait_until(lambda: seen == {b"front", b"rear"}, look_both)
        viewer.send("show rear")
    with page.live("?stream=rear") as viewer:
        for index in range(100, 110):
            page.sink.write(page.result(index, streams[index % 2]))
            if index % 2:
                assert b'"stream": "rear"' in _pictures(viewer)


def test_who_turns_to_a_stream_sees_its_newest_picture_first(page):
    page.sink.write(page.result(0, "front"))
    page.sink.write(page.result(1, "rear"))
    with page.live() as viewer:
        _pictures(viewer)
        _pictures(viewer)
        page.sink.write(page.result(2, "rear"))
    with page.live("?stream=front") as viewer:
        _pictures(viewer)
        viewer.send("show rear")
        assert _index(_pictures(viewer)) == 2


def test_a_viewer_that_never_reads_is_dropped_while_others_go_on(open_page):
    page = open_page(stall_s=2.0)
    with page.raw(HANDSHAKE), page.live() as good:
        page.wait_until(lambda: _viewers(page) == 2)
        for index in itertools.count():
            page.sink.write(page.noise(index % 10))
            _pictures(good)
            if _dropped(page):
                break
        assert (_viewers(page), _dropped(page)) == (1, 1)
        page.sink.write(page.result(5000))
        assert b'"index": 5000' in _pictures(good)


def _read_to_the_end(viewer):
    with contextlib.suppress(ConnectionClosed):
        collections.deque(viewer, maxlen=0)


def test_a_viewer_that_reads_but_never_answers_is_dropped(open_page):
    page = open_page(stall_s=0.5)
    with page.live() as viewer:
        reader = threading.Thread(target=_read_to_the_end, args=(viewer,))
        reader.start()
        page.wait_until(lambda: _dropped(page) == 1, page.result)
        reader.join()


def test_an_mjpeg_viewer_that_never_reads_is_dropped(open_page):
    page = open_page(stall_s=2.0, max_fps=1000.0)
    with page.raw(MJPEG) as stalled, page.live() as good:
        page.wait_until(lambda: _viewers(page) == 2)

        def look(index):
            if index:
                _pictures(good)
            return page.noise(index)

        page.wait_until(lambda: _dropped(page) == 1, look)
        page.sink.write(page.result(5000))
        while _index(_pictures(good)) != 5000:
            pass
        with contextlib.suppress(ConnectionResetError):
            while stalled.recv(1 << 20):  # what lay between; then the end
                pass


@pytest.mark.parametrize("request_", [HANDSHAKE, MJPEG], ids=["live", "mjpeg"])
def test_viewers_that_go_in_the_middle_of_a_picture(page, request_, capfd):
    with page.live() as good:
        for _ in range(5):
            plain = page.raw(request_)
            page.wait_until(lambda: _viewers(page) == 2)
            page.sink.write(page.noise())
            _pictures(good)
            plain.recv(1000)
            _reset(plain)
            page.wait_until(lambda: _viewers(page) == 1, page.noise)
        page.sink.write(page.result(5000))
        while _index(_pictures(good)) != 5000:
            pass
    assert _dropped(page) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_malformed_requests_hang_nothing(page, fault, capfd):
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            plain = stack.enter_context(page.raw())
            with contextlib.suppress(ConnectionError):  # it may have hung up in the middle
                plain.sendall(FAULTS[fault])
        with page.live() as good:
            page.sink.write(page.result(7))
            assert _index(_pictures(good)) == 7
        assert page.get("/status.json").status == 200
        page.sink.close()
    assert capfd.readouterr().err == ""


def test_malformed_http_is_answered(page):
    with page.raw(b"nonsense\r\n\r\n") as plain:
        assert plain.makefile("rb").read().startswith(b"HTTP/1.1 400")


def test_writing_goes_on_whatever_viewers_do(open_page):
    """No viewer can hold up the pipeline: with a stalled one, a thousand writes still end."""
    page = open_page(stall_s=60.0)
    with page.raw(HANDSHAKE), page.raw(MJPEG):
        page.wait_until(lambda: _viewers(page) == 2)
        noise = page.noise()
        for _ in range(1000):
            page.sink.write(noise)


def test_close_with_viewers_of_all_kinds(open_page, capfd):
    """It returns though some never read, it tells the others, and the port is free."""
    page = open_page(stall_s=60.0, max_fps=1000.0)
    with page.raw(HANDSHAKE), page.raw(MJPEG), page.raw(b"GET / HT"), page.live() as good:
        page.wait_until(lambda: _viewers(page) == 3)
        for index in range(30):
            page.sink.write(page.noise(index))
            _pictures(good)
        page.sink.close()
        page.sink.close()
        with pytest.raises(ConnectionClosed) as end:
            collections.deque(iter(good.recv, None))
        assert end.value.rcvd.code in (1001, 1012)  # going away, or restarting
    with socket.create_server(("127.0.0.1", page.port)):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgeseg")]
    assert capfd.readouterr().err == ""


def test_a_run_that_was_never_looked_at_leaves_no_threads(page):
    page.sink.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgeseg")]
