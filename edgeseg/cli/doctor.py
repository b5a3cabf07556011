"""``edgeseg doctor``: what is installed, what is missing or too old, and the line that installs it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from packaging.requirements import Requirement

from edgeseg import __version__
from edgeseg.installing import installed_version, pip_install

if TYPE_CHECKING:
    from edgeseg.runtime.backend import DoctorLine

EXAMPLES = """
edgeseg doctor
"""


def doctor() -> None:
    """Show versions, engines, cameras and display, and which parts are missing or too old.

    Exits with 1 if a part that every run needs is broken or too old.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    broken = False
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    sections = (
        _platform(),
        _native(),
        *_engines(),
        _libraries(),
        _models(),
        _cameras(),
        _display(),
    )
    for name, text, works in (*sections, *_packages()):
        table.add_row(name, Text(text, style="" if works else "red"))
        broken |= not works
    Console().print(table)
    if broken:
        raise typer.Exit(1)


def _platform() -> DoctorLine:
    text = f"{__version__} with Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return "edgeseg", text, sys.version_info >= (3, 10)


def _native() -> DoctorLine:
    try:
        native = import_module("edgeseg._native")
    except ImportError as error:
        return "native", f"cannot be loaded ({error}). Build and install it: pip install .", False
    info = native.build_info()
    if native.dense_crf_isa() != "portable":
        info["simd"] = native.dense_crf_isa()  # what runs here; the info tells the least that it was compiled for
    return "native", ", ".join(f"{name} {value}" for name, value in info.items()), True


def _engines() -> Iterator[DoctorLine]:
    from edgeseg.runtime.registry import BACKENDS

    for info in BACKENDS.values():
        if (line := info.doctor()) is not None:
            yield line


def _libraries() -> DoctorLine:
    found = []
    for module in ("numpy", "cv2", "av"):
        try:
            found.append(f"{module} {import_module(module).__version__}")
        except ImportError as error:
            # OpenCV's wheel wants the system's libGL, which a bare server lacks.
            return "libraries", f"{module} cannot be loaded ({error}). See the apt line in the README", False
    cv2 = import_module("cv2")
    gstreamer = "with" if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER) else "without"
    return "libraries", f"{', '.join(found)}; OpenCV {gstreamer} GStreamer", True


def _models() -> DoctorLine:
    from edgeseg.weights import shipped

    return "models", ", ".join(model.name for model in shipped()) or "none shipped", True


def _cameras() -> DoctorLine:
    found = []
    for device in sorted(Path("/dev").glob("video*")):
        name = Path("/sys/class/video4linux", device.name, "name")
        found.append(f"{device} ({name.read_text().strip()})" if name.is_file() else str(device))
    return "cameras", ", ".join(found) or "none (/dev/video*)", True


def _display() -> DoctorLine:
    name = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    return "display", name or "none: no window; use --save", True


def _packages() -> Iterator[DoctorLine]:
    """What edgeseg itself and each of its extras ask for, by the requirements of the installed distribution."""
    try:
        requirements = [Requirement(text) for text in metadata.requires("edgeseg") or []]
    except metadata.PackageNotFoundError:
        yield "packages", "unknown: edgeseg runs from its sources and is not installed. Run: pip install .", True
        return
    for extra in ("", *(metadata.metadata("edgeseg").get_all("Provides-Extra") or [])):
        unmet = [one for one in _wanted(requirements, extra) if not _is_met(one)]
        wanted = [f"edgeseg[{extra}]"] if extra else [f"{one.name}{one.specifier}" for one in unmet]
        text = f"{_told(unmet)}. Run: {pip_install(*wanted)}" if unmet else "complete"
        yield f"extra {extra}" if extra else "packages", text, bool(extra) or not unmet


def _wanted(requirements: list[Requirement], extra: str) -> Iterator[Requirement]:
    """Those of an extra, and of the extras that it names; of edgeseg itself for the empty one."""
    for requirement in requirements:
        marker = requirement.marker
        of_extra = marker is not None and "extra ==" in str(marker)
        if of_extra != bool(extra) or (marker is not None and not marker.evaluate({"extra": extra})):
            continue
        if requirement.name == "edgeseg":
            for other in requirement.extras:
                yield from _wanted(requirements, other)
        else:
            yield requirement


def _is_met(requirement: Requirement) -> bool:
    version = installed_version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _told(unmet: list[Requirement]) -> str:
    """What is missing, and what has another version."""
    versions = {one: installed_version(one.name) for one in unmet}
    missing = ", ".join(one.name for one, version in versions.items() if version is None)
    others = [f"{one.name} {version} is not {one.specifier}" for one, version in versions.items() if version]
    return "; ".join([*([f"lacks {missing}"] if missing else []), *others])
