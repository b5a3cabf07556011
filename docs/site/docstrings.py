"""The docstrings as the code writes them, made into what mkdocstrings reads: an extension of its parser, griffe.

A name in a role, as in ``:meth:`close```, becomes a link; it means what it would mean in the code there. Arguments that
share a line, as ``height, width: in pixels``, get one each, so that each has its type. Errors are known everywhere, for
``Raises:`` names those too that come from further below.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`([\w.]+)`")
SHARED = re.compile(r"^( +)(\w+(?:, \w+)+)(: .*(?:\n\1 +\S.*)*)$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring once its module has been read."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Griffe's event: a package has been read. It now imports every error, and what is in it sees that."""
        for error in loader.modules_collection["edgeseg.errors"].classes:
            if error not in pkg.members:
                pkg.imports[error] = f"edgeseg.errors.{error}"
                pkg.set_member(error, griffe.Alias(error, pkg.imports[error]))

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe's event: an object is there with its members."""
        if obj.docstring:
            obj.docstring.value = SHARED.sub(_one_each, obj.docstring.value)
            obj.docstring.value = ROLE.sub(lambda match: _link(obj, match[1]), obj.docstring.value)


def _one_each(match: re.Match[str]) -> str:
    indent, names, text = match.groups()
    return "\n".join(f"{indent}{name}{text}" for name in names.split(", "))


def _link(obj: griffe.Object, name: str) -> str:
    return f"[`{name}`][{_home(obj, name)}]"


def _home(obj: griffe.Object, name: str) -> str:
    """The whole name of what ``name`` means where the docstring of ``obj`` stands."""
    first, dot, rest = name.partition(".")
    try:
        return obj.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        return name
