"""What stands in a URI: parameters that are read, and credentials that are never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from edgeseg.errors import SourceError

Forms = Mapping[str, tuple[str, str]]
"""For each parameter the regular expression of its values, and how to write it."""

SIZE = (r"[1-9]\d{0,4}x[1-9]\d{0,4}", "size=640x480, width first")
SIDE = r"[1-9]\d{0,4}"
FPS = (r"[1-9]\d{0,2}(\.\d+)?", "fps=30")
LIVE = ("[01]", "live=1")

# Up to the last @, since a password may hold / or @ although it should not.
_USER_INFO = re.compile(r"(\w:/|rtsps?:|https?:)/*\S*@", re.I)
_SECRET = re.compile(
    r"([\w.-]*(?:pas|pwd|pw|token|secret|key|auth|sig|session|credential)[\w.-]*=)(\"[^\"]*\"|[^&#;\s]*)",
    re.I,
)


def redacted(text: str) -> str:
    """The text with ``***`` for the credentials in its URIs: ``user:password@``, ``?token=…`` and their like.

    It rather hides too much: everything from ``://`` to the last ``@`` of a word, and the value of any parameter whose
    name sounds like a secret.
    """
    return _SECRET.sub(r"\1***", _USER_INFO.sub(_hide_user, text))


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
