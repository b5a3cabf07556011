"""What a check has found, and what a data set holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.check.findings import Finding
from edgeseg.data.check.headers import Size, in_words
from edgeseg.data.dataset import Dataset
from edgeseg.data.samples import Sample


@dataclass(frozen=True, eq=False)
class SplitContents:
    """What is in a split, as far as it can be read.

    Attributes:
        pictures: how many.
        class_pixels: (C,) of each class.
        unlabelled_pixels: without a label.
        sizes: how many pictures there are of each (height, width), the most frequent first.
    """

    pictures: int
    class_pixels: NDArray[np.int64]
    unlabelled_pixels: int
    sizes: Mapping[Size, int]

    @property
    def all_pixels(self) -> int:
        """Of all labels that can be read."""
        return int(self.class_pixels.sum()) + self.unlabelled_pixels

    @property
    def shares(self) -> NDArray[np.float64]:
        """(C,) fractions of the labelled pixels; 0 where none is labelled."""
        return np.asarray(self.class_pixels / max(1, int(self.class_pixels.sum())))


@dataclass(frozen=True, eq=False)
class CheckReport:
    """What :func:`edgeseg.data.check.run.check` has found.

    Attributes:
        dataset: that was looked at.
        samples: of each split, as far as pictures and labels could be matched.
        splits: what they hold, by name.
        findings: what is wrong, errors first.
    """

    dataset: Dataset
    samples: Mapping[str, Sequence[Sample]]
    splits: Mapping[str, SplitContents]
    findings: tuple[Finding, ...]

    @property
    def harmful(self) -> bool:
        """Whether training on it would be harmed: there is an error."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it; shares are fractions of the labelled pixels."""
        names = self.dataset.names
        return {
            "dataset": str(self.dataset.path),
            "format": self.dataset.format,
            "names": list(names),
            "harmful": self.harmful,
            "findings": [finding.to_dict() for finding in self.findings],
            "splits": {
                name: {
                    "pictures": own.pictures,
                    "class_pixels": dict(zip(names, own.class_pixels.tolist(), strict=True)),
                    "shares": dict(zip(names, own.shares.tolist(), strict=True)),
                    "unlabelled_pixels": own.unlabelled_pixels,
                    "sizes": {in_words(size): count for size, count in own.sizes.items()},
                }
                for name, own in self.splits.items()
            },
        }
