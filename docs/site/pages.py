"""What mkdocs cannot find below docs/: the pages at the root, and a page of the API for each public module.

mkdocs calls the functions that begin with ``on_``. The pages stay where they are, and a link in one is that between the
files, as GitHub follows it; here it is written anew for the site, where ``docs/`` is the root. A file that a page links
to and that is no page itself, a script or the licence, is taken along.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (REPOSITORY / "edgeseg", REPOSITORY / "export" / "edgeseg_export")
PAGES = ("*.md", "edgeseg/weights/**/*.md")
"""What is a page beside docs/*.md, as patterns from the root."""

ROLE = re.compile(r":[a-z]+:(?=`)")
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Module:
    """A public module, or a package with the public ones in it.

    Attributes:
        name: with dots.
        summary: the first line of its docstring.
        page: its place in the site.
        inside: of a package, the modules in it, packages last; None of a module.
    """

    name: str
    summary: str
    page: str
    inside: tuple[Module, ...] | None = None


def module_of(path: Path, parent: str = "") -> Module:
    """What lies at ``path``: a file, or the folder of a package."""
    package = path.is_dir()
    name = f"{parent}.{path.stem}".lstrip(".")
    docstring = ast.get_docstring(ast.parse(((path / "__init__.py") if package else path).read_text())) or ""
    summary = ROLE.sub("", docstring.partition("\n\n")[0].replace("\n", " "))
    place = f"api/{name.replace('.', '/')}"
    if not package:  # index.md is the package's own page
        return Module(name, summary, f"{place}_.md" if path.stem == "index" else f"{place}.md")
    inside = sorted((p for p in path.iterdir() if is_public(p)), key=lambda p: (p.is_dir(), p.name))
    return Module(name, summary, f"{place}/index.md", tuple(module_of(p, name) for p in inside))


def is_public(path: Path) -> bool:
    """Whether it is a module or a package for others to import."""
    python = path.suffix == ".py" or (path / "__init__.py").is_file()
    return python and not path.name.startswith("_")


def nav_of(module: Module) -> dict[str, object]:
    """The entry in the navigation: a page, or a package's page above those in it."""
    title = module.name.rpartition(".")[2]
    if module.inside is None:
        return {title: module.page}
    return {title: [module.page, *(nav_of(one) for one in module.inside)]}


def table_of(modules: tuple[Module, ...], page: str) -> str:
    """The modules with what each is, for ``page``."""
    folder = posixpath.dirname(page)
    rows = [
        f"| [`{m.name.rpartition('.')[2]}`]({posixpath.relpath(m.page, folder)}) | {m.summary.replace('|', '&#124;')} |"
        for m in modules
    ]
    return "\n".join(["| module | what it is |", "| --- | --- |", *rows])


def reference_of(module: Module) -> Iterator[tuple[str, str]]:
    """(place, Markdown) of the module's page and of those in it."""
    text = f"::: {module.name}\n"
    if module.inside is not None:
        text += f"\n## Modules\n\n{table_of(module.inside, module.page)}\n" if module.inside else ""
        for one in module.inside:
            yield from reference_of(one)
    yield module.page, f"---\ntitle: {module.name}\n---\n\n{text}"


def in_site(path: str) -> str:
    """The place in the site of a file of the repository."""
    return path.removeprefix("docs/")


def links_of(markdown: str) -> list[str]:
    """The files that a page links to, as it writes them."""
    return [target.partition("#")[0] for target in LINK.findall(FENCE.sub("", markdown)) if "://" not in target]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference into the navigation."""
    modules = [nav_of(module_of(package)) for package in PACKAGES]
    config.nav = [*(config.nav or []), {"API": ["api/index.md", *modules]}]
    config.watch += [str(package) for package in PACKAGES]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, the files that they link to, and the reference."""
    pages = sorted(path for pattern in PAGES for path in REPOSITORY.glob(pattern))
    for path in pages:
        files.append(File.generated(config, in_site(path.relative_to(REPOSITORY).as_posix()), abs_src_path=str(path)))
    for path in [*pages, *sorted((REPOSITORY / "docs").glob("*.md"))]:
        for target in links_of(path.read_text()):
            linked = (path.parent / target).resolve()
            place = in_site(linked.relative_to(REPOSITORY).as_posix())
            if linked.is_file() and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(linked)))
    modules = tuple(module_of(package) for package in PACKAGES)
    for module in modules:
        for place, text in reference_of(module):
            files.append(File.generated(config, place, content=text))
    rooms = "\n\n".join(f"## {m.name}\n\n{m.summary}\n\n{table_of(m.inside or (), 'api/index.md')}" for m in modules)
    files.append(File.generated(config, "api/index.md", content=f"# API\n\n{rooms}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the links between files of the repository as those of the site."""
    source = page.file.abs_src_path
    if source is None or page.file.src_uri.startswith("api/"):
        return markdown
    here = Path(source).resolve().parent

    def rewritten(match: re.Match[str]) -> str:
        target, hash_, anchor = match[0].partition("#")
        if not target or "://" in match[0]:
            return match[0]
        linked = posixpath.normpath((here / target).resolve().relative_to(REPOSITORY).as_posix())
        return posixpath.relpath(in_site(linked), posixpath.dirname(page.file.src_uri)) + hash_ + anchor

    return LINK.sub(rewritten, markdown)
