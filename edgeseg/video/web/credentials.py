"""What a viewer shows to be let in: the token, guesses at it, and the session that a browser has afterwards."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict

_FREE_GUESSES = 5
_GUESS_S = 2.0  # for one more, after these
_MOST_ADDRESSES = 4096
_MOST_SESSIONS = 1000
SESSION_S = 7 * 24 * 3600
"""How long a browser is remembered, in seconds."""


class Token:
    """The secret that viewers must know."""

    def __init__(self, token: str) -> None:
        self._digest = _digest(token.encode())

    def is_among(self, shown: list[bytes]) -> bool:
        """Whether one of these is the token; takes as long whatever they are."""
        found = [hmac.compare_digest(_digest(one), self._digest) for one in shown]
        return any(found)


class Guesses:
    """Wrong tokens by address: some are free, then one in a while is looked at; bounded memory.

    Args:
        free: wrong tokens at once.
        each_s: seconds for one more.
    """

    def __init__(self, free: int = _FREE_GUESSES, each_s: float = _GUESS_S) -> None:
        self._room_s = free * each_s
        self._each_s = each_s
        self._paid_s: OrderedDict[str, float] = OrderedDict()  # when an address has all its guesses again

    def wait_s(self, address: str) -> float:
        """Seconds until a token from there is looked at again; 0 if it is now."""
        now_s = time.monotonic()
        return max(0.0, self._paid_s.get(address, now_s) + self._each_s - self._room_s - now_s)

    def wrong(self, address: str) -> None:
        """One was wrong."""
        now_s = time.monotonic()
        self._paid_s[address] = max(self._paid_s.get(address, now_s), now_s) + self._each_s
        self._paid_s.move_to_end(address)
        if len(self._paid_s) > _MOST_ADDRESSES:
            self._paid_s.popitem(last=False)


class Sessions:
    """Browsers that have shown the token, each known by a random value: bounded, and for a while alone."""

    def __init__(self, last_s: float = SESSION_S) -> None:
        self._last_s = last_s
        self._until_s: OrderedDict[bytes, float] = OrderedDict()

    def begin(self) -> str:
        """The value of a new one; the oldest of too many ends."""
        value = secrets.token_urlsafe(32)
        self._until_s[_digest(value.encode())] = time.monotonic() + self._last_s
        if len(self._until_s) > _MOST_SESSIONS:
            self._until_s.popitem(last=False)
        return value

    def knows(self, value: str) -> bool:
        """Whether this is the value of one that has not ended."""
        return self._until_s.get(_digest(value.encode(errors="replace")), 0.0) > time.monotonic()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
