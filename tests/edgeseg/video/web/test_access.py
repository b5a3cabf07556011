"""Who may look."""

from __future__ import annotations

import base64
import http.client
import logging

import pytest
from websockets.exceptions import InvalidStatus

TOKEN = "correct horse battery ½"
QUERY = "?token=correct+horse+battery+%C2%BD"
GUARDED = ["/", "/app.js", "/status.json", "/metrics", "/snapshot.jpg", "/stream.mjpg", "/nothing"]


@pytest.fixture
def locked(open_page):
    """A page with a token."""
    return open_page(token=TOKEN)


@pytest.mark.parametrize("path", GUARDED)
def test_without_the_token_nothing_is_shown(locked, path):
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic !"},
        {"Cookie": "edgeseg_0=x; a=\x01"},
    ):
        assert locked.get(path, **headers).status == 401
    assert locked.get(f"{path}?token=wrong").status == 401


def test_the_page_asks_for_the_token(locked):
    answer = locked.get("/")
    assert b'name="token"' in answer.body
    assert locked.get("/style.css").status == 200


def test_the_token_opens_the_page_and_leaves_the_address(locked):
    answer = locked.get(f"/{QUERY}&x=1")
    assert (answer.status, answer.headers["location"]) == (303, "/?x=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "correct" not in cookie
    name_and_value = cookie.partition(";")[0]
    assert locked.get("/", Cookie=f"theme=dark; {name_and_value}").status == 200
    assert locked.get("/status.json", Cookie=name_and_value).status == 200


def test_a_cookie_is_still_good_when_the_server_came_back(locked, open_page):
    cookie = locked.get(f"/{QUERY}").headers["set-cookie"].partition(";")[0]
    port = locked.port
    locked.sink.close()
    again = open_page(token=TOKEN)
    assert again.get("/status.json", Cookie=cookie.replace(str(port), str(again.port))).status == 200


def test_programs_show_the_token_in_a_header_or_the_address(locked):
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    assert locked.get("/metrics", Authorization=f"Basic {basic}").status == 200
    assert locked.get(f"/metrics{QUERY}").status == 200


def test_bearer(open_page):
    page = open_page(token="plain-token")
    assert page.get("/metrics", Authorization="Bearer plain-token").status == 200
    assert page.get("/metrics", Authorization="bearer plain-token").status == 200


def test_the_live_stream_asks_for_the_token_as_well(locked):
    with pytest.raises(InvalidStatus, match="403"):
        locked.live()
    with locked.live(QUERY) as viewer:
        assert '"streams"' in viewer.recv(timeout=10)


def test_health_is_open_but_tells_strangers_no_reason(locked):
    locked.streams = [locked.status(condition="lost", reason="rtsp://10.0.0.7/ does not answer")]
    stranger = locked.get("/healthz")
    assert (stranger.status, stranger.json) == (503, {"status": "unhealthy"})
    assert "10.0.0.7" in locked.get(f"/healthz{QUERY}").json["reason"]


def test_the_token_is_never_logged(locked, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    locked.get(f"/{QUERY}")
    locked.get(f"/status.json{QUERY}")
    with locked.live(QUERY) as viewer:
        viewer.recv(timeout=10)
    locked.sink.close()
    server_says = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.client")]
    assert not [line for line in server_says if "correct" in line]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""])
def test_a_page_for_this_machine_answers_to_local_names_alone(page, name):
    """Another site may let its name point here, and would read the answers as its own."""
    assert page.get("/status.json", Host=name).status == 421
    upgrade = f"GET /live HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with page.raw((upgrade + key).encode()) as plain:
        assert plain.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("name", ["localhost", "localhost:9999", "127.0.0.1:1", "[::1]:80"])
def test_local_names_are_fine_at_any_port(page, name):
    assert page.get("/status.json", Host=name).status == 200


def test_with_a_token_any_name_will_do(locked):
    assert locked.get(f"/status.json{QUERY}", Host="edge-1.example:8443").status == 200


def test_pages_of_other_sites_get_no_live_stream(page):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://["):
        with pytest.raises(InvalidStatus, match="403"):
            page.live(origin=origin)
    with page.live(origin=f"http://127.0.0.1:{page.port}") as viewer:
        assert viewer.recv(timeout=10)


@pytest.mark.parametrize("path", ["/", "/app.js", "/status.json", "/nothing"])
def test_nothing_from_elsewhere_is_run_or_embedded(page, path):
    headers = page.get(path).headers
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_only_reading_is_allowed(page):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("POST", "/status.json", body=b"x" * 1000)
    assert connection.getresponse().status == 405
    connection.close()
