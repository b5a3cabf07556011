"""Who may look: the token, which sites' pages may ask, and what a browser may do with the answers."""

from __future__ import annotations

import base64
import binascii
import math
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from edgeseg.video.web.address import is_local
from edgeseg.video.web.assets import ASSETS
from edgeseg.video.web.credentials import SESSION_S, Guesses, Sessions, Token
from edgeseg.video.web.door import address_of, is_this_machine

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_OPEN_TO_ALL = ("/healthz", "/style.css", "/icon.svg")
_SAY = "<!-- what was wrong -->"
_CLOSE = {"Connection": "close"}
_FORM_HEADERS = {"Referrer-Policy": "strict-origin"}  # with no-referrer, browsers would not say whose form it is
_LARGEST_FORM = 4096  # bytes
_FORM_WITHIN_S = 10.0


class Guard:
    """ASGI middleware in front of all pages.

    With a token, all but ``/healthz`` asks for it: as ``?token=``, as ``Authorization: Bearer``, as the password of
    basic authentication, or as the cookie of a session, which the page's form and its address with ``?token=`` begin
    before they lead to the address without. Whether a request has shown it, or need not, is put into
    ``scope["edgeseg.trusted"]``. Wrong tokens are counted by address, and after some of them none is looked at for a
    while.

    Without a token the page is served to this machine alone, and then asks that it be called by a local name: else the
    page of another site could read it through a name that it lets point here (DNS rebinding). A WebSocket or a form
    that the page of another site sends is refused either way.

    Args:
        app: what is guarded.
        host: where it is served.
        port: gives the cookie its name, since browsers share cookies between ports.
        token: None for none.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str | None) -> None:
        self._app = app
        self._host = host
        self._token = None if token is None else Token(token)
        self._guesses = Guesses()
        self._proxied_guesses = Guesses(free=50, each_s=0.05)
        self._sessions = Sessions()
        self._question = (ASSETS / "token.html").read_text(encoding="utf-8")
        self._cookie = f"edgeseg_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = HTTPConnection(scope)
        answer = self._refusal(request)
        if answer is None:
            if self._token is None:
                scope["edgeseg.trusted"] = True
            else:
                answer = await self._ask(request, receive)
        if answer is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)  # before it is accepted: answers 403
        else:
            await answer(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """Whatever token is shown."""
        if self._token is None and not self._is_called_by_local_name(request):
            return PlainTextResponse("This page is called by the name localhost.\n", 421, headers=_CLOSE)
        method = request.scope.get("method", "GET")
        if method not in ("GET", "HEAD") and not self._is_form(request):
            return PlainTextResponse(
                "There is nothing to change here.\n", 405, headers={**_CLOSE, "Allow": "GET, HEAD"}
            )
        if (request.scope["type"] == "websocket" or method == "POST") and not _is_same_site(request):
            return PlainTextResponse("Another site's page asked.\n", 403, headers=_CLOSE)
        return None

    async def _ask(self, request: HTTPConnection, receive: Receive) -> Response | None:
        """None for those who may pass, with or without being trusted."""
        assert self._token is not None
        path = request.scope["path"]
        is_form = self._is_form(request)
        shown = [await _form_token(receive)] if is_form else _shown(request)
        trusted = not is_form and self._sessions.knows(_cookie(request, self._cookie))
        is_link = path == "/" and "token" in request.query_params
        if trusted and is_link:
            return _without_token(request)
        wait_s = 0.0
        if shown and not trusted:
            wait_s = self._wait_s(request)
            trusted = wait_s == 0.0 and self._token.is_among(shown)
            if trusted and (is_form or is_link):
                return self._let_in(request)
            if not trusted and wait_s == 0.0:
                self._count(request)
        request.scope["edgeseg.trusted"] = trusted
        if trusted or path in _OPEN_TO_ALL:
            return None
        return self._question_for(request, bool(shown), wait_s)

    def _question_for(self, request: HTTPConnection, is_wrong: bool, wait_s: float) -> Response:
        status, headers = 401, {**_CLOSE, "WWW-Authenticate": "Bearer"}
        say = "That is not the token." if is_wrong else ""
        if wait_s:
            status = 429
            headers["Retry-After"] = str(math.ceil(wait_s))
            say = f"Too many wrong tokens came from your address. Wait {math.ceil(wait_s)} seconds."
        if request.scope["path"] == "/" and "authorization" not in request.headers:
            del headers["WWW-Authenticate"]
            return HTMLResponse(self._question.replace(_SAY, say), status, headers={**headers, **_FORM_HEADERS})
        needed = "A token is needed: ?token=TOKEN or the header Authorization: Bearer TOKEN."
        return PlainTextResponse(f"{say} {needed}".lstrip() + "\n", status, headers=headers)

    def _let_in(self, request: HTTPConnection) -> Response:
        """A session instead of the token in the address."""
        answer = _without_token(request)
        answer.set_cookie(
            self._cookie,
            self._sessions.begin(),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=_proxy_says(request, "x-forwarded-proto") == "https",
        )
        return answer

    def _is_form(self, request: HTTPConnection) -> bool:
        return self._token is not None and request.scope["path"] == "/" and request.scope.get("method") == "POST"

    def _wait_s(self, request: HTTPConnection) -> float:
        return max(guesses.wait_s(address) for guesses, address in self._guessers(request))

    def _count(self, request: HTTPConnection) -> None:
        for guesses, address in self._guessers(request):
            guesses.wrong(address)

    def _guessers(self, request: HTTPConnection) -> list[tuple[Guesses, str]]:
        """Whose guess it is: of those behind a proxy, the address that it tells; and it has not as many as it likes."""
        address = address_of(request.scope["client"][0])
        told = _proxy_says(request, "x-forwarded-for")
        if not told:
            return [(self._guesses, address)]
        return [(self._guesses, f"for {address_of(told)}"), (self._proxied_guesses, address)]

    def _is_called_by_local_name(self, request: HTTPConnection) -> bool:
        try:
            name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        except ValueError:
            return False
        return is_local(name) or name == self._host


def _without_token(request: HTTPConnection) -> Response:
    others = [(key, value) for key, value in request.query_params.multi_items() if key != "token"]
    return RedirectResponse(f"/?{urlencode(others)}" if others else "/", 303)


def _is_same_site(request: HTTPConnection) -> bool:
    """Programs send no origin; a browser's page sends its own, which is ours if it came from here."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def _proxy_says(request: HTTPConnection, header: str) -> str:
    """What a proxy on this machine adds last to a header; empty where another machine sends it, which may lie."""
    if not is_this_machine(request.scope["client"][0], request.scope["server"][0]):
        return ""
    return request.headers.get(header, "").rpartition(",")[2].strip()


def _shown(request: HTTPConnection) -> list[bytes]:
    """The tokens that a request shows, right or wrong."""
    kind, _, word = request.headers.get("authorization", "").partition(" ")
    shown = [request.query_params.get("token", "").encode(errors="replace")]
    if kind.lower() == "bearer":
        shown.append(word.strip().encode("latin-1"))  # as it came
    elif kind.lower() == "basic":
        shown.append(_password(word))
    return [one for one in shown if one]


def _password(word: str) -> bytes:
    try:
        return base64.b64decode(word, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _cookie(request: HTTPConnection, name: str) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


async def _form_token(receive: Receive) -> bytes:
    """The token of the form; empty for a form that is too large, too late, or has none."""
    body = b""
    with anyio.move_on_after(_FORM_WITHIN_S):
        while len(body) <= _LARGEST_FORM:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return _field(body)
    return b""


def _field(form: bytes) -> bytes:
    try:
        fields = parse_qs(form.decode("ascii", errors="replace"), max_num_fields=10, errors="surrogateescape")
    except ValueError:
        return b""
    return fields.get("token", [""])[0].encode(errors="surrogateescape")
