"""What to type where a package is missing: for the Python that runs, and from where edgeseg itself was installed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit


def pip_install(*requirements: str) -> str:
    """The command that installs these, in one line of shell.

    ``edgeseg[EXTRA]`` is taken from where this edgeseg came from: a folder, such as a clone, is named with its pins, as
    no index may have it.

    Args:
        requirements: as pip takes them, such as ``onnxruntime`` or ``edgeseg[train]``.
    """
    words: list[str] = []
    for requirement in requirements:
        name, bracket, extra = requirement.partition("[")
        folder = _folder() if name == "edgeseg" and bracket else None
        if folder is None:
            words.append(requirement)
            continue
        path, editable = folder
        if (path / "constraints.txt").is_file():
            words += ["-c", str(path / "constraints.txt")]
        words += [*(["-e"] if editable else []), f"{path}[{extra}"]
    return " ".join([*_pip(), "install", *map(shlex.quote, words)])


def installed_version(distribution: str) -> str | None:
    """The version that is installed, without importing anything; None for none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _pip() -> list[str]:
    """``pip`` where that is the one of this Python; else this Python's own."""
    found = shutil.which("pip")
    here = os.path.dirname(sys.executable)
    if found and os.path.dirname(found) == here:
        return ["pip"]
    return [shlex.quote(sys.executable or "python3"), "-m", "pip"]


def _folder() -> tuple[Path, bool] | None:
    """The folder edgeseg was installed from (PEP 610), and whether it is used where it lies; None for an index."""
    try:
        origin = json.loads(metadata.distribution("edgeseg").read_text("direct_url.json") or "{}")
        url = urlsplit(origin["url"])
        path = Path(unquote(url.path))
        if url.scheme == "file" and (path / "pyproject.toml").is_file():
            return path, bool(origin.get("dir_info", {}).get("editable"))
    except (metadata.PackageNotFoundError, KeyError, TypeError, ValueError, OSError):
        pass
    return None
