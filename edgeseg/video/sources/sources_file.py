"""Several sources for one run, and the names of their streams."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.errors import InputError, printable
from edgeseg.files.documents import is_printable, read_yaml
from edgeseg.run_config import is_uri, uri_of
from edgeseg.video.sources.uri import redacted

_LONGEST = 200


def read_sources(path: Path) -> dict[str, str]:
    """The sources of a file, by the names of their streams.

    Args:
        path: a mapping of names to URIs, ``gate: rtsp://10.0.0.7/main``, or a list of URIs, which then are the names.

    Raises:
        InputError: the file cannot be read, is neither, or names a stream twice, or so that it cannot be printed.
    """
    raw = read_yaml(path, secret=True)  # it holds passwords, so nothing of it is quoted
    if isinstance(raw, list):
        raw = named([uri_of(uri) for uri in raw]) if all(map(is_uri, raw)) else {}
    if not isinstance(raw, dict) or not raw or not all(isinstance(uri, str) for uri in raw.values()):
        raise InputError(f"{path} lists no sources", "Write one 'name: URI' a line")
    return checked(raw, str(path))


def checked(sources: Mapping[Any, str], where: str) -> dict[str, str]:
    """Sources by the names of their streams, each spelt in one way.

    Args:
        sources: names that people gave, and URIs.
        where: who names them, for messages.

    Raises:
        InputError: two streams of one name, or one that cannot be printed.
    """
    found: dict[str, str] = {}
    for key, uri in sources.items():
        name = _name(key, where)
        if name in found:
            raise InputError(f"{where} names two streams {name}", "Give each a name of its own")
        found[name] = uri
    return found


def _name(key: Any, where: str) -> str:
    """The name of a stream, spelt in one way."""
    name = unicodedata.normalize("NFC", str(key)).strip() if isinstance(key, str | int | float) else ""
    if isinstance(key, bool) or not is_printable(name, longest=_LONGEST):
        shown = printable(redacted(str(key)))[:_LONGEST]
        raise InputError(
            f"{where} names a stream {shown!r}",
            f"Name it with 1 to {_LONGEST} letters, digits and signs that can be printed",
        )
    return redacted(name)


def named(uris: Sequence[str]) -> dict[str, str]:
    """The URIs by themselves, with numbers for those that come twice; credentials stay out of names.

    Args:
        uris: one or more.
    """
    names: dict[str, str] = {}
    for uri in uris:
        shown = redacted(uri)
        name = shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
        number = 2
        while name in names:
            end, number = f" {number}", number + 1
            name = f"{shown[: _LONGEST - len(end)]}{end}"
        names[name] = uri
    return names
