"""Answers to a camera that asks who is there: Basic and Digest authentication, as HTTP and RTSP share them."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Sequence

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))')
_DIGESTS = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class Login:
    """A user and password for one host.

    Args:
        user, password: as they are, not percent-encoded.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._challenge: dict[str, str] | None = None  # of Digest
        self._is_basic = False
        self._count = 0

    def take(self, challenges: Sequence[str]) -> bool:
        """Take what a ``WWW-Authenticate`` header or several ask for; whether an answer to it is known, and is new.

        Digest is taken before Basic, which tells the password to whoever listens.
        """
        digests = []
        basic = False
        for challenge in challenges:
            kind, _, rest = challenge.strip().partition(" ")
            if kind.lower() == "digest":
                values = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
                if values.get("nonce") and values.get("algorithm", "MD5").lower().removesuffix("-sess") in _DIGESTS:
                    digests.append(values)
            basic = basic or kind.lower() == "basic"
        if digests:
            is_stale = digests[0].get("stale", "").lower() == "true"
            is_new = self._challenge is None or is_stale
            self._challenge, self._is_basic, self._count = digests[0], False, 0
            return is_new
        is_new = basic and not self._is_basic
        self._challenge, self._is_basic = None, basic
        return is_new

    def answer(self, method: str, uri: str) -> str:
        """The ``Authorization`` header of a request; empty as long as nobody asked."""
        if self._is_basic:
            return "Basic " + b64encode(f"{self._user}:{self._password}".encode()).decode()
        if self._challenge is None:
            return ""
        asked = self._challenge
        algorithm = asked.get("algorithm", "MD5")
        realm, nonce = asked.get("realm", ""), asked["nonce"]
        client_nonce, self._count = secrets.token_hex(8), self._count + 1

        def digest(*parts: str) -> str:
            return _DIGESTS[algorithm.lower().removesuffix("-sess")](":".join(parts).encode()).hexdigest()

        who = digest(self._user, realm, self._password)
        if algorithm.lower().endswith("-sess"):
            who = digest(who, nonce, client_nonce)
        what = digest(method, uri)
        fields = {"username": _escaped(self._user), "realm": realm, "nonce": nonce, "uri": uri}
        bare = {}
        if "auth" in [part.strip() for part in asked.get("qop", "").split(",")]:
            bare = {"qop": "auth", "nc": f"{self._count:08x}"}
            fields["cnonce"] = client_nonce
            fields["response"] = digest(who, nonce, bare["nc"], client_nonce, "auth", what)
        else:
            fields["response"] = digest(who, nonce, what)
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        if "algorithm" in asked:
            bare["algorithm"] = algorithm
        quoted = [f'{name}="{value}"' for name, value in fields.items()]
        return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in bare.items())])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
