"""Who may look."""

from __future__ import annotations

import base64
import logging
import re

import pytest
from websockets.exceptions import InvalidStatus

from edgeseg.video.web.credentials import Sessions
from edgeseg.video.web.door import address_of

TOKEN = "correct horse battery ½"
QUERY = "?token=correct+horse+battery+%C2%BD"
FORM = QUERY[1:]
FORM_TYPE = {"Content_Type": "application/x-www-form-urlencoded"}
UPGRADE = (
    b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
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
        {"Cookie": f"edgeseg_{locked.port}=x"},
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


def _cookie(answer):
    return answer.headers["set-cookie"].partition(";")[0]


def test_the_form_posts_the_token(locked):
    """So it stands in no address, no history and no log of a proxy."""
    page = locked.get("/").body
    assert b'<form action="/" method="post">' in page
    answer = locked.ask("POST", "/", FORM, **FORM_TYPE, Origin=f"http://127.0.0.1:{locked.port}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert locked.get("/", Cookie=_cookie(answer)).status == 200


def test_a_wrong_form_asks_again(locked):
    answer = locked.ask("POST", "/", "token=wrong", **FORM_TYPE)
    assert answer.status == 401
    assert b"That is not the token" in answer.body
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "body", ["", "x=1", "token=", "token=" + "a" * 5000, "&".join("abcdefghijklmnop"), "token=%ff%00", "\x00\xff"]
)
def test_a_form_that_is_none_is_refused(locked, body):
    assert locked.ask("POST", "/", body, **FORM_TYPE).status == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_form_of_another_site_is_refused(locked, origin):
    assert locked.ask("POST", "/", FORM, **FORM_TYPE, Origin=origin).status == 403


def test_a_session_is_a_random_value_each_time(locked):
    """A hash of the token would be the same, could be guessed at elsewhere, and would last as long as the token."""
    cookies = {_cookie(locked.get(f"/{QUERY}")) for _ in range(5)}
    assert len(cookies) == 5
    assert {len(cookie.partition("=")[2]) for cookie in cookies} == {43}
    assert all(locked.get("/status.json", Cookie=cookie).status == 200 for cookie in cookies)


def test_a_session_ends():
    sessions = Sessions(last_s=0.05)
    value = sessions.begin()
    while sessions.knows(value):
        pass
    assert Sessions().knows(value) is False


def test_sessions_are_bounded(monkeypatch):
    monkeypatch.setattr("edgeseg.video.web.credentials._MOST_SESSIONS", 10)
    sessions = Sessions()
    values = [sessions.begin() for _ in range(12)]
    assert [sessions.knows(value) for value in values] == [False] * 2 + [True] * 10


def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_alone(locked):
    """A proxy on this machine says so; who comes from elsewhere could only say it of himself."""
    behind = locked.get(f"/{QUERY}", X_Forwarded_Proto="https").headers["set-cookie"]
    assert "Secure" in behind
    assert "Secure" not in locked.get(f"/{QUERY}").headers["set-cookie"]
    elsewhere = locked.ask("GET", f"/{QUERY}", source="127.0.0.9", X_Forwarded_Proto="https")
    assert "Secure" not in elsewhere.headers["set-cookie"]


def test_a_link_with_the_token_leads_on_even_with_a_session(locked):
    cookie = _cookie(locked.get(f"/{QUERY}"))
    for query in (QUERY, "?token=old"):
        answer = locked.get(f"/{query}", Cookie=cookie)
        assert (answer.status, answer.headers["location"]) == (303, "/")


def test_after_some_wrong_tokens_none_is_looked_at_for_a_while(locked):
    """The right one neither: else its answer would tell it from the wrong ones, however many are tried."""
    while (answer := locked.get("/status.json?token=wrong", Connection="keep-alive")).status != 429:
        assert answer.status == 401
        assert answer.headers["connection"] == "close"
    assert 1 <= int(answer.headers["retry-after"]) <= 2
    assert locked.get("/healthz?token=wrong").status in (200, 503)
    assert locked.ask("POST", "/", "token=wrong", **FORM_TYPE).status == 429
    assert locked.get(f"/status.json{QUERY}").status == 429
    assert locked.ask("GET", f"/status.json{QUERY}", source="127.0.0.9").status == 200
    locked.wait_until(lambda: locked.get(f"/status.json{QUERY}").status == 200)


def test_guesses_in_any_place_count(locked):
    """Two thousand a second were possible; here a hundred tries leave room for a few."""
    statuses = [
        locked.ask("GET", f"/{path}", source="127.0.0.9", **headers).status
        for number in range(25)
        for path, headers in (
            (f"?token=wrong{number}", {}),
            (f"healthz?token=wrong{number}", {}),
            ("status.json", {"Authorization": f"Bearer wrong{number}"}),
            ("status.json", {"Authorization": "Basic " + base64.b64encode(b"me:wrong%d" % number).decode()}),
        )
    ]
    assert statuses.count(429) > 50
    assert statuses[-1] == 429
    wrong = locked.raw(b"GET /live?token=wrong HTTP/1.1\r\n" + UPGRADE, source="127.0.0.9")
    right = locked.raw(f"GET /live{QUERY} HTTP/1.1\r\n".encode() + UPGRADE, source="127.0.0.9")
    for plain in (wrong, right):
        with plain:
            assert plain.recv(100).startswith(b"HTTP/1.1 403")


def test_who_has_a_session_is_not_held_up_by_guesses(locked):
    cookie = _cookie(locked.get(f"/{QUERY}"))
    while locked.get("/status.json?token=wrong").status != 429:
        pass
    assert locked.get("/status.json", Cookie=cookie).status == 200


def test_guesses_through_a_proxy_count_for_whom_it_names(locked):
    while locked.get("/status.json?token=wrong", X_Forwarded_For="1.2.3.4, 203.0.113.7").status != 429:
        pass
    assert locked.get(f"/status.json{QUERY}", X_Forwarded_For="203.0.113.8").status == 200
    assert locked.get(f"/status.json{QUERY}", X_Forwarded_For="203.0.113.8, 203.0.113.7").status == 429
    asks = (
        locked.ask("GET", "/status.json?token=no", source="127.0.0.9", X_Forwarded_For=f"1.1.1.{n}") for n in range(99)
    )
    assert 429 in {answer.status for answer in asks}, "from another machine the name is not believed"


def test_an_ipv6_network_is_one_guesser():
    assert address_of("2001:db8::1") == address_of("2001:db8::ffff:2") != address_of("2001:db8:0:1::1")
    assert address_of("::ffff:192.0.2.1") == address_of("192.0.2.1") != address_of("192.0.2.2")


def test_a_restart_ends_the_sessions(locked, open_page):
    cookie = _cookie(locked.get(f"/{QUERY}"))
    port = locked.port
    locked.sink.close()
    again = open_page(token=TOKEN)
    assert again.get("/status.json", Cookie=cookie.replace(str(port), str(again.port))).status == 401


def test_programs_show_the_token_in_a_header_or_the_address(locked):
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    assert locked.get("/metrics", Authorization=f"Basic {basic}").status == 200
    assert locked.get(f"/metrics{QUERY}").status == 200
    for kind in ("Bearer", "bearer"):
        as_curl_sends_it = f"{kind} {TOKEN}".encode().decode("latin-1")
        assert locked.get("/metrics", Authorization=as_curl_sends_it).status == 200


def test_the_live_stream_asks_for_the_token_as_well(locked):
    with pytest.raises(InvalidStatus, match="403"):
        locked.live()
    with locked.live(QUERY) as viewer:
        assert '"streams"' in viewer.recv(timeout=60)


def test_health_is_open_but_tells_strangers_no_reason(locked):
    locked.streams = [locked.status(condition="lost", reason="rtsp://10.0.0.7/ does not answer")]
    stranger = locked.get("/healthz")
    assert (stranger.status, stranger.json) == (503, {"status": "unhealthy"})
    assert "10.0.0.7" in locked.get(f"/healthz{QUERY}").json["reason"]


def test_the_token_is_never_logged(locked, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    locked.get(f"/{QUERY}")
    locked.get(f"/status.json{QUERY}")
    locked.ask("POST", "/", FORM, **FORM_TYPE)
    locked.get(f"/status.json?token={TOKEN[:-2].replace(' ', '+')}")
    with locked.live(QUERY) as viewer:
        viewer.recv(timeout=60)
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
        assert viewer.recv(timeout=60)


@pytest.mark.parametrize("path", ["/", "/app.js", "/status.json", "/nothing"])
def test_nothing_from_elsewhere_is_run_or_embedded(page, path):
    headers = page.get(path).headers
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X" * 99]
)
def test_only_reading_is_allowed(page, locked, method):
    for path in ("/", "/status.json", "/healthz", "/live", "/nothing"):
        for one in (page, locked) if (method, path) != ("POST", "/") else (page,):
            answer = one.ask(method, path, "x" * 1000)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
            assert b"xxx" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/../access.py",
        "/assets/../access.py",
        "/%2e%2e/access.py",
        "//etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/\\..\\access.py",
        "http://localhost/../access.py",
        "/index.html",
        "/token.html",
        "/app.js%00.html",
        "/app.js/",
        "/%ff",
        "/" + "a/" * 4000,
    ],
)
def test_what_is_not_served_is_not_there(page, path):
    with page.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()) as plain:
        answer = plain.makefile("rb").read()
    assert re.match(rb"HTTP/1.1 40[04] ", answer)
    assert b"import" not in answer
    assert b"root:" not in answer
