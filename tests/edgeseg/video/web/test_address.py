"""Where the page is served, and to whom."""

from __future__ import annotations

import re
import socket

import pytest

from edgeseg.errors import InputError, SinkError
from edgeseg.video.web.address import check_bind, parse_address
from edgeseg.video.web.sink import WebSink


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("8080", ("127.0.0.1", 8080)),
        (":8080", ("127.0.0.1", 8080)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:8080", ("::1", 8080)),
        ("edge-1.local:65535", ("edge-1.local", 65535)),
    ],
)
def test_an_address_is_host_and_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", "1.2.3.4:99999", "::1:8080", "http://x:80", "a b:1", "x:٣"]
)
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"--web is .*such as 127\.0\.0\.1:8080"):
        parse_address(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "edge-1.local"])
def test_others_may_look_with_a_token_alone(host):
    with pytest.raises(InputError, match="--web-token"):
        check_bind(host, None)
    check_bind(host, "a secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_no_token(host):
    check_bind(host, None)


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token_is_none(token):
    with pytest.raises(InputError, match="--web-token is empty"):
        check_bind("127.0.0.1", token)


def test_the_sink_itself_refuses_to_show_everyone():
    with pytest.raises(InputError, match="--web-token"):
        WebSink("0.0.0.0", 0)


def test_a_port_in_use_names_the_remedy():
    remedy = r"in use.*Choose another address or port with --web"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SinkError, match=remedy):
        WebSink(port=taken.getsockname()[1])


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_another_machine_names_the_remedy(host):
    with pytest.raises(SinkError, match=rf"no page at {host}.*(Choose|Use)"):
        WebSink(host, 0, token="secret")


def test_a_page_for_all_tells_an_address_that_others_can_type(open_page):
    page = open_page(host="0.0.0.0", token="secret")
    assert re.fullmatch(r"http://[\d.]+:\d+/", page.sink.url)
    assert "0.0.0.0" not in page.sink.url
    assert page.get("/healthz").status in (200, 503)


def test_ipv6(open_page):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    page = open_page(host="::1")
    assert re.fullmatch(r"http://\[::1\]:\d+/", page.sink.url)
    with socket.create_connection(("::1", page.port), timeout=10) as plain:
        plain.sendall(f"GET /healthz HTTP/1.1\r\nHost: [::1]:{page.port}\r\nConnection: close\r\n\r\n".encode())
        assert b'"ok"' in plain.makefile("rb").read()
