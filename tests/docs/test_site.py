"""The site of ``make docs`` has every page and every public module, without building it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from scripts import load_script

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = REPOSITORY / "docs" / "site"


def load(name: str, needs: str) -> ModuleType:
    """A script of docs/site, which mkdocs loads by its path too."""
    pytest.importorskip(needs, reason=f"{needs} comes with make docs")
    return load_script(SITE / f"{name}.py", f"site_{name}")


def pages_of(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    if isinstance(nav, str):
        yield nav
        return
    for entry in nav.values() if isinstance(nav, dict) else nav:
        yield from pages_of(entry)


def test_every_page_is_in_the_navigation_once():
    config = yaml.safe_load((SITE / "mkdocs.yml").read_text())
    written = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("edgeseg/weights/**/*.md")]
    places = [path.relative_to(REPOSITORY).as_posix() for path in written]
    places += [path.relative_to(REPOSITORY / "docs").as_posix() for path in (REPOSITORY / "docs").rglob("*.md")]
    assert len(places) > 15
    assert sorted(pages_of(config["nav"])) == sorted(places)


def test_nothing_is_asked_of_other_hosts():
    config = yaml.safe_load((SITE / "mkdocs.yml").read_text())
    assert config["theme"]["font"] is False
    assert "://" not in (SITE / "mkdocs.yml").read_text()


def test_every_public_module_has_a_page_of_its_own():
    pages = load("pages", "mkdocs")
    reference = [page for package in pages.PACKAGES for page in pages.reference_of(pages.module_of(package))]
    places = [place for place, _ in reference]
    assert len(set(places)) == len(places)

    files = [path for root in ("edgeseg", "export/edgeseg_export") for path in (REPOSITORY / root).rglob("*.py")]
    modules = [path.relative_to(REPOSITORY).as_posix().removeprefix("export/") for path in files]
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in modules]
    shown = [name for _, text in reference for name in re.findall(r"^::: (.*)$", text, re.MULTILINE)]
    assert sorted(shown) == sorted(name for name in names if "._" not in name)


def test_every_module_says_what_it_is():
    pages = load("pages", "mkdocs")

    def check(module: Any) -> None:
        assert module.summary, module.name
        for inner in module.inside or ():
            check(inner)

    for package in pages.PACKAGES:
        check(pages.module_of(package))


CODE = '''
from there import open_it

class Door:
    """A door, opened by :meth:`open` or :func:`open_it`; see :class:`elsewhere.Gate`.

    Args:
        height, width: in centimetres,
            both of them.
        colour: of the paint.

    Raises:
        DoorError: it is stuck.
    """

    def __init__(self, height: int, width: float, colour: str) -> None: ...

    def open(self) -> None: ...
'''


def test_docstrings_become_links_and_one_entry_for_each_argument(tmp_path: Path):
    docstrings = load("docstrings", "griffe")
    griffe = sys.modules["griffe"]
    folder = tmp_path / "edgeseg"
    folder.mkdir()
    for name, code in {"__init__": "", "house": CODE, "errors": "class DoorError(Exception): ..."}.items():
        (folder / f"{name}.py").write_text(code)
    extensions = griffe.Extensions(docstrings.Docstrings())
    package = griffe.load("edgeseg", search_paths=[tmp_path], try_relative_path=False, extensions=extensions)
    text, arguments, errors = package["house.Door"].docstring.parse("google")
    assert text.value == (
        "A door, opened by [`open`][edgeseg.house.Door.open] or [`open_it`][there.open_it]; "
        "see [`elsewhere.Gate`][elsewhere.Gate]."
    )
    told = {argument.name: (str(argument.annotation), argument.description) for argument in arguments.value}
    shared = "in centimetres,\nboth of them."
    assert told == {"height": ("int", shared), "width": ("float", shared), "colour": ("str", "of the paint.")}
    assert [error.annotation.canonical_path for error in errors.value] == ["edgeseg.errors.DoorError"]
