"""Where the page is served, and to whom."""

from __future__ import annotations

import re
import secrets
import socket
import uuid

import pytest

from edgeseg.errors import InputError, SinkError
from edgeseg.video.web.address import check_bind, check_token, parse_address
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
    with pytest.raises(InputError, match=r"is no address for a page.*such as 127\.0\.0\.1:8080"):
        parse_address(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "edge-1.local"])
def test_others_may_look_with_a_token_alone(host):
    with pytest.raises(InputError, match=r"Give a token of 16 or more characters, or serve it to this machine alone"):
        check_bind(host, None)
    check_bind(host, "a secret of some length")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_no_token(host):
    check_bind(host, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("1", "has 1 of at least 16 characters"),
        ("fifteen letters", "has 15 of at least 16"),
        ("1" * 40, "repeats itself"),
        ("abab" * 8, "repeats itself"),
        (" a secret of some length", "blank at an end"),
        ("a secret of some length\n", "blank at an end"),
        ("a secret\x00of some length", "cannot be printed"),
    ],
)
def test_a_token_that_could_be_guessed_is_refused_wherever_the_page_is(host, token, why):
    with pytest.raises(InputError, match=f"{why}.*secrets.token_urlsafe"):
        check_bind(host, token)


def test_tokens_as_they_are_made_are_fine():
    for token in (
        secrets.token_urlsafe(),
        secrets.token_hex(8),
        str(uuid.UUID(int=2**127 + 12345678)),
        "ein schlüssel, lang",
    ):
        check_token(token)


def test_the_sink_itself_refuses_to_show_everyone():
    with pytest.raises(InputError, match="everyone on the network"):
        WebSink("0.0.0.0", 0)
    with pytest.raises(InputError, match="at least 16"):
        WebSink("127.0.0.1", 0, token="1")


def test_a_port_in_use_names_the_remedy():
    remedy = r"in use.*Choose another address or port for the page"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SinkError, match=remedy):
        WebSink(port=taken.getsockname()[1])


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid", "x" * 64 + ".example", "a..b", "ä" * 80])
def test_an_address_of_another_machine_names_the_remedy(host):
    with pytest.raises(SinkError, match=r"no page at .*(Choose|Use)"):
        WebSink(host, 0, token="a secret of some length")


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_that_is_none_names_the_remedy(port):
    with pytest.raises(InputError, match="Use 1 to 65535"):
        WebSink(port=port)


def test_a_page_for_all_tells_an_address_that_others_can_type(open_page):
    page = open_page(host="0.0.0.0", token="a secret of some length")
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
    with socket.create_connection(("::1", page.port), timeout=60) as plain:
        plain.sendall(f"GET /healthz HTTP/1.1\r\nHost: [::1]:{page.port}\r\nConnection: close\r\n\r\n".encode())
        assert b'"ok"' in plain.makefile("rb").read()
