"""Prints the lowest versions that edgeseg and its extras allow, as constraints for pip: ``numpy==1.26``, …"""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement


def lowest() -> dict[str, str]:
    """The lowest version of each package that the installed edgeseg names with a bound, but for what develops it."""
    versions = {}
    for text in metadata.requires("edgeseg") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is not None and any(marker.evaluate({"extra": extra}) for extra in ("dev", "docs")):
            continue
        for bound in requirement.specifier:
            if bound.operator == ">=":
                versions[requirement.name] = bound.version
    return versions


if __name__ == "__main__":
    print(*(f"{name}=={version}" for name, version in lowest().items()), sep="\n")
