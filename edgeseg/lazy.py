"""Packages whose modules load when they are first used: ``import edgeseg; edgeseg.video.sources.base.open_source``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def modules_of(package: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package; it raises AttributeError for what is no public module of the package."""

    def load(name: str) -> Any:
        if name.isidentifier() and not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
