"""YAML and JSON that people or strangers wrote: read within limits, and every failure told in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeseg.errors import EdgesegError, InputError

MAX_BYTES = 4 << 20
"""No document that edgeseg reads is this large; one that is would take seconds and gigabytes."""

MAX_EXPORT_BYTES = 1 << 30
"""Of what tools export for a whole data set, such as COCO's 449 MB of instances."""

_MOST = 1 << 63
_MAX_DEPTH = 50
"""Of lists and mappings in each other."""

_JOINERS = frozenset("\u200c\u200d")  # Persian and the scripts of India spell with them


def read_yaml(path: Path, error: type[EdgesegError] = InputError, *, secret: bool = False) -> Any:
    """What a YAML file holds, as dicts, lists, texts, numbers and truth values.

    Words such as ``on`` and ``no`` are texts, as in YAML 1.2. Aliases are limited, so that no small file takes
    gigabytes, and a key that comes twice is an error.

    Args:
        path: the file; 4 MiB of UTF-8 at most.
        error: raised for all that is wrong.
        secret: the file may hold passwords: messages name the line, but quote nothing of it.
    """
    import yaml

    from edgeseg.files.yaml_loader import Loader

    text = read_text(path, error)
    try:
        loader = Loader(text, _MAX_DEPTH)
        try:
            values = loader.get_single_data()
        finally:
            loader.dispose()
        _check_plain(values)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as wrong:
        raise error(f"{path} is not YAML that can be used ({_reason(wrong, secret)})", "Correct it") from None
    return values


def read_json(
    path: Path,
    error: type[EdgesegError] = InputError,
    *,
    most_bytes: int = MAX_BYTES,
    shrink: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """What a JSON file holds; the limits and errors are those of :func:`read_yaml`.

    Args:
        path: the file, in UTF-8.
        error: raised for all that is wrong.
        most_bytes: larger ones are refused; :data:`MAX_EXPORT_BYTES` for what a tool exports.
        shrink: takes each mapping as soon as it is read, and gives what is kept of it; a ValueError refuses the file.
    """
    return parse_json(read_text(path, error, most_bytes), str(path), error, most_bytes=most_bytes, shrink=shrink)


def starts_with(path: Path, sign: bytes) -> bool:
    """Whether a text file begins so, behind a byte order mark and blanks; False of one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(sign)
    except OSError:
        return False


def parse_json(
    text: str,
    where: str,
    error: type[EdgesegError] = InputError,
    remedy: str = "Correct it",
    *,
    most_bytes: int = MAX_BYTES,
    shrink: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """What a JSON text holds. Numbers that are not finite, and texts that are no Unicode, are refused.

    Args:
        text: the JSON; 4 MiB at most, if nothing else is said.
        where: what it is, for the message, such as "the model spec in street.onnx".
        error: raised for all that is wrong.
        remedy: what to do then.
        most_bytes, shrink: as of :func:`read_json`.
    """
    if len(text) > most_bytes:
        raise error(f"{where} is larger than {most_bytes >> 20} MiB", remedy)
    try:
        values = json.loads(text, object_hook=shrink)
        _check_plain(values)
    except (ValueError, RecursionError, OverflowError) as wrong:
        raise error(f"{where} is not JSON that can be used ({_reason(wrong, secret=False)})", remedy) from None
    return values


def is_printable(name: str, *, longest: int = 200) -> bool:
    """Whether a name of a class or stream can be shown anywhere: no control or invisible characters, not too long.

    Escape sequences would reach the terminal, halves of surrogate pairs crash what draws them, and marks that turn the
    direction of writing make one name look like another.
    """
    return 0 < len(name) <= longest and all(letter.isprintable() or letter in _JOINERS for letter in name)


def read_text(path: Path, error: type[EdgesegError] = InputError, most_bytes: int = MAX_BYTES) -> str:
    """What a text file in UTF-8 holds, without a byte order mark.

    Args:
        path: the file.
        error: raised where it cannot be read, is no UTF-8, or larger.
        most_bytes: larger ones are refused.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as wrong:
        raise error(f"{path} cannot be read ({wrong.strerror})", "Correct the path, or allow it to be read") from None
    except ValueError as wrong:  # a null byte
        raise error(f"{str(path)!r} is no path ({wrong})", "Correct it") from None
    if len(content) > most_bytes:
        raise error(f"{path} is larger than {most_bytes >> 20} MiB", "Pass the file that was meant")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error(f"{path} is not text in UTF-8", "Save it as UTF-8") from None


def _check_plain(values: Any) -> None:
    """Refuse what no reader expects: endless numbers, texts that are no Unicode, things that nest too deep."""
    level: list[Any] = [values]
    seen: set[int] = set()
    for _ in range(_MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            kind = type(value)  # an export has millions, and isinstance would take twice the time
            if kind is str:
                if not value.isascii():
                    value.encode()  # UnicodeEncodeError is a ValueError
            elif kind is float:
                if not math.isfinite(value):
                    raise ValueError(f"the number {value}")
            elif kind is int:
                if not -_MOST < value < _MOST:
                    raise ValueError("a number of more than 64 bits")
            elif (kind is dict or kind is list) and id(value) not in seen:
                seen.add(id(value))
                below += [*value.keys(), *value.values()] if kind is dict else value
        if not below:
            return
        level = below
    raise ValueError(f"nested more than {_MAX_DEPTH} deep")


def _reason(error: Exception, secret: bool) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    if isinstance(error, RecursionError):
        return f"nested more than {_MAX_DEPTH} deep"
    if isinstance(error, UnicodeEncodeError):
        return "it holds half of a surrogate pair"
    if secret:
        return place or type(error).__name__
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{problem}, {place}" if place else str(problem)
