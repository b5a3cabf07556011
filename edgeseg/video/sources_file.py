"""Several sources for one run, and the names of their streams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from edgeseg.errors import InputError
from edgeseg.video.uri import redacted


def read_sources(path: Path) -> dict[str, str]:
    """The sources of a file, by the names of their streams.

    Args:
        path: a mapping of names to URIs, ``gate: rtsp://10.0.0.7/main``, or a list of URIs, which then are the names.

    Raises:
        InputError: the file cannot be read, is neither, or names a stream twice.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "Correct --sources") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML ({' '.join(str(error).split())})", "Correct it") from None
    if isinstance(raw, list):
        # YAML takes "- synthetic:" for a mapping of synthetic to nothing.
        uris = [f"{next(iter(uri))}:" if isinstance(uri, dict) and [*uri.values()] == [None] else uri for uri in raw]
        raw = named(uris) if all(isinstance(uri, str) for uri in uris) else {}
    if not isinstance(raw, dict) or not raw or not all(isinstance(uri, str) for uri in raw.values()):
        raise InputError(f"{path} lists no sources", "Write one 'name: URI' a line")
    return {str(name): uri for name, uri in raw.items()}


def named(uris: Sequence[str]) -> dict[str, str]:
    """The URIs by themselves, with numbers for those that come twice; credentials stay out of names.

    Args:
        uris: one or more.
    """
    names: dict[str, str] = {}
    for uri in uris:
        name, number = redacted(uri), 2
        while name in names:
            name, number = f"{redacted(uri)} {number}", number + 1
        names[name] = uri
    return names
