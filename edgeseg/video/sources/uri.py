"""What stands in a URI: parameters that are read, and credentials that are never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from edgeseg.errors import SourceError, printable

Forms = Mapping[str, tuple[str, str]]
"""For each parameter the regular expression of its values, and how to write it."""

SIZE = (r"[1-9]\d{0,4}x[1-9]\d{0,4}", "size=640x480, width first")
SIDE = r"[1-9]\d{0,4}"
FPS = (r"[1-9]\d{0,2}(\.\d+)?", "fps=30")
LIVE = ("[01]", "live=1")

# Up to the last @ of all, since a password may hold / or @ or blanks although it should not.
_USER_INFO = re.compile(r"(\w:/|rtsps?:|https?:)/*.*@", re.I | re.S)
_SECRET_NAME = (
    r"[\w.-]*(?:pas|pwd|pw|token|secret|key|auth|sig|session|cred|access|jwt|bearer|pincode|user-id)[\w.-]*"
    r"|(?<![a-z])(?:pin|code|otp|sid|nonce|hash)(?![a-z])"
)
_QUOTED = r"\"(?:\\.|[^\"\\])*(?:\"|$)|'[^']*(?:'|$)"
_IN_QUERY = re.compile(rf"((?:{_SECRET_NAME})=)({_QUOTED}|[^&#;]*)", re.I)
_IN_PIPELINE = re.compile(rf"((?:{_SECRET_NAME})\s*=\s*(?:\(\w+\)\s*)?)({_QUOTED}|(?:\\.|[^&#;\s\\])*)", re.I)
_BARE = re.compile(r"\b(bearer\s+)\S+|\beyJ[\w-]{8,}(?:\.[\w-]*)*", re.I)
_DECODED_TIMES = 3


def redacted(text: str) -> str:
    """The text with ``***`` for the credentials in its URIs: ``user:password@``, ``?token=…`` and their like.

    It rather hides too much: everything from ``://`` to the last ``@``, and the value of any parameter whose name
    sounds like a secret, also where they are percent-encoded, as in a URI within another. What cannot be printed is
    escaped, so that a name is shown the same on every terminal.
    """
    shown = _without_secrets(text)
    decoded = text
    for _ in range(_DECODED_TIMES):
        decoded = unquote(decoded)
        candidate = _without_secrets(decoded)
        if candidate.count("***") > shown.count("***") or (candidate != decoded and shown == text):
            shown = candidate
    return printable(shown)


def _without_secrets(text: str) -> str:
    values = _IN_PIPELINE if text.startswith("gst:") or " ! " in text else _IN_QUERY
    text = values.sub(r"\1***", _USER_INFO.sub(_hide_user, text))
    return _BARE.sub(lambda found: f"{found[1] or ''}***", text)


def _hide_user(found: re.Match[str]) -> str:
    return f"{found[1].rstrip('/')}//***@"


def parameters(uri: str, query: str, forms: Forms) -> dict[str, str]:
    """The parameters of a query such as ``width=640&fps=30``, by name; those not given are absent.

    Raises:
        SourceError: a name that is not in ``forms``, or a value that is not of its form.
    """
    found: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in forms:
            raise SourceError(
                f"{redacted(uri)} has the unknown parameter {redacted(key)!r}", f"It takes {', '.join(forms)}"
            )
        form, example = forms[key]
        if not re.fullmatch(form, value, re.ASCII):
            raise SourceError(f"{redacted(uri)}: {key} is {value!r}", f"Write it as {example}")
        found[key] = value
    return found
