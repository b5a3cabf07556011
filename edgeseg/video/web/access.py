"""Who may look: the token, which sites' pages may ask, and what a browser may do with the answers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from edgeseg.video.web.address import is_local
from edgeseg.video.web.assets import ASSETS

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_OPEN_TO_ALL = ("/healthz", "/style.css", "/icon.svg")
_MONTH_S = 30 * 24 * 3600


class Guard:
    """ASGI middleware in front of all pages.

    With a token, all but ``/healthz`` asks for it: as ``?token=``, as ``Authorization: Bearer``, as the password of
    basic authentication, or as the cookie that the page's own address with ``?token=`` leaves behind before it leads
    to the address without. Whether a request has shown it, or need not, is put into ``scope["edgeseg.trusted"]``.

    Without a token the page is served to this machine alone, and then asks that it be called by a local name: else the
    page of another site could read it through a name that it lets point here (DNS rebinding). A WebSocket asked for by
    the page of another site is refused either way.

    Args:
        app: what is guarded.
        host: where it is served.
        port: gives the cookie its name, since browsers share cookies between ports.
        token: None for none.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str | None) -> None:
        self._app = app
        self._host = host
        self._token = token
        self._question = (ASSETS / "token.html").read_text(encoding="utf-8")
        self._cookie = f"edgeseg_{port}"
        # Not the token itself, yet good after a restart.
        self._pass = hashlib.sha256(f"edgeseg cookie {token}".encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = HTTPConnection(scope)
        trusted = self._token is None or self._shows_token(request)
        answer = self._refusal(request, trusted)
        if (
            answer is None
            and self._token is not None
            and request.scope["path"] == "/"
            and "token" in request.query_params
        ):
            answer = self._let_in(request)
        if answer is None:
            scope["edgeseg.trusted"] = trusted
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)  # before it is accepted: answers 403
        else:
            await answer(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection, trusted: bool) -> Response | None:
        if self._token is None and not self._is_called_by_local_name(request):
            return PlainTextResponse("This page is called by the name localhost.\n", 421)
        if request.scope["type"] == "websocket" and not _is_same_site(request):
            return PlainTextResponse("Another site's page asked.\n", 403)
        if trusted or request.scope["path"] in _OPEN_TO_ALL:
            return None
        if request.scope["path"] == "/" and "authorization" not in request.headers:
            return HTMLResponse(self._question, 401)
        return PlainTextResponse(
            "A token is needed: ?token=TOKEN or the header Authorization: Bearer TOKEN.\n",
            401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _let_in(self, request: HTTPConnection) -> Response:
        """The cookie instead of the token in the address."""
        others = [(key, value) for key, value in request.query_params.multi_items() if key != "token"]
        answer = RedirectResponse(f"/?{urlencode(others)}" if others else "/", 303)
        answer.set_cookie(self._cookie, self._pass, max_age=_MONTH_S, httponly=True, samesite="strict")
        return answer

    def _shows_token(self, request: HTTPConnection) -> bool:
        kind, _, word = request.headers.get("authorization", "").partition(" ")
        shown = [request.query_params.get("token", "")]
        if kind.lower() == "bearer":
            shown.append(word.strip())
        elif kind.lower() == "basic":
            shown.append(_password(word))
        token = (self._token or "").encode()
        is_shown = [hmac.compare_digest(one.encode(errors="replace"), token) for one in shown]
        return any(is_shown) or hmac.compare_digest(_cookie(request, self._cookie).encode(), self._pass.encode())

    def _is_called_by_local_name(self, request: HTTPConnection) -> bool:
        try:
            name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        except ValueError:
            return False
        return is_local(name) or name == self._host


def _is_same_site(request: HTTPConnection) -> bool:
    """Programs send no origin; a browser's page sends its own, which is ours if it came from here."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def _password(word: str) -> str:
    try:
        return base64.b64decode(word, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _cookie(request: HTTPConnection, name: str) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
