"""What a check finds: a fault, the files that have it, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgeseg.errors import EdgesegError

Severity = Literal["error", "warning"]
"""An error harms training or makes its figures false; a warning may be meant."""

Kind = Literal[
    "unusable-split",
    "empty-split",
    "unlabelled-image",
    "label-without-image",
    "same-stem",
    "unreadable",
    "size-mismatch",
    "exif-orientation",
    "masks-as-one-class",
    "anti-aliased-label",
    "jpeg-label",
    "unknown-index",
    "unknown-colour",
    "absent-class",
    "nothing-labelled",
    "one-class-alone",
    "identical-across-splits",
    "near-identical-across-splits",
    "one-recording-across-splits",
    "contradicting-labels",
    "unusual-size",
    "small-picture",
]
"""What a fault is called; ``docs/datasets.md`` says what each means."""


@dataclass(frozen=True)
class Finding:
    """One fault, of one or several files.

    Attributes:
        kind: its name, which stays.
        severity: ``error`` or ``warning``.
        what: what is wrong, with the first file that has it.
        remedy: what to do, as an imperative sentence.
        files: all that have it; where two are at odds, one after the other.
        count: how many times it was found.
    """

    kind: Kind
    severity: Severity
    what: str
    remedy: str
    files: tuple[Path, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        more = f" (and {self.count - 1} more like it)" if self.count > 1 else ""
        return f"{self.what}{more}. {self.remedy}."

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "remedy": self.remedy,
            "count": self.count,
            "files": [str(file) for file in self.files],
        }


def of_error(kind: Kind, error: EdgesegError, *files: Path) -> Finding:
    """What reading raised, as an error found."""
    return Finding(kind, "error", error.what, error.remedy or "Correct it", files)


def gathered(findings: Iterable[Finding]) -> list[Finding]:
    """Those of one kind, severity and remedy as one, which keeps the words of the first; errors come first."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.severity, finding.remedy), []).append(finding)
    joined = [
        replace(
            group[0],
            files=tuple(file for finding in group for file in finding.files),
            count=sum(finding.count for finding in group),
        )
        for group in groups.values()
    ]
    return sorted(joined, key=lambda finding: finding.severity != "error")
