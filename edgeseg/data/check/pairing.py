"""The files of each split, matched: images without a label, labels without an image, splits with nothing in them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from edgeseg.data.check.findings import Finding, of_error
from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.base import FileLabels
from edgeseg.data.samples import Matches, Sample
from edgeseg.errors import DatasetError


def match_files(dataset: Dataset) -> tuple[dict[str, list[Sample]], list[Finding]]:
    """The samples of each split as far as they can be found, and what is wrong with the files; nothing is opened.

    Args:
        dataset: of any format. One that does not find labels by their names says what is wrong in one error.
    """
    samples: dict[str, list[Sample]] = {}
    findings: list[Finding] = []
    matches: dict[str, Matches] = {}
    for name, split in dataset.splits.items():
        refused = None
        try:
            samples[name] = split.samples()
        except DatasetError as error:
            refused = error
        try:
            matched = split.match() if split.match is not None else None
        except DatasetError:  # no folder, which is what samples() has refused
            matched = None
        if matched is not None:
            matches[name] = matched
            samples.setdefault(name, matched.samples)
        found = [*_unlabelled(matched), *_same_stems(matched)] if matched is not None else []
        if refused is not None and not found and not _of_another_kind(matched):
            nothing = matched is not None and not matched.samples and not matched.pictureless
            found = [of_error("empty-split" if nothing else "unusable-split", refused)]
        findings += found
        if not samples.setdefault(name, []) and not found:
            what = f"split {name} of {dataset.path} holds no picture"
            findings.append(Finding("empty-split", "error", what, "Put some into it, or take it out of dataset.yaml"))
    return samples, [*findings, *_pictureless(matches, samples)]


def _of_another_kind(matched: Matches | None) -> bool:
    """Whether there are labels in files that may be none, such as JPEG: looking at them tells why."""
    labels = [sample.labels for sample in matched.samples] if matched is not None else []
    return any(isinstance(own, FileLabels) and own.path.suffix.lower() not in own.coding.suffixes for own in labels)


def _unlabelled(matched: Matches) -> list[Finding]:
    return [
        Finding("unlabelled-image", "error", f"{image} has no label", "Label it, or move it out", (image,))
        for image in matched.unlabelled
    ]


def _same_stems(matched: Matches) -> list[Finding]:
    return [
        Finding("same-stem", "error", f"{one} and {other.name} share one stem", "Keep one of them", (one, other))
        for one, other in matched.same_stem
    ]


def _pictureless(matches: Mapping[str, Matches], samples: Mapping[str, list[Sample]]) -> list[Finding]:
    """Labels that belong to no image of any split: one folder may hold those of several."""
    named = {os.path.normpath(sample.label) for own in samples.values() for sample in own}
    labels = {label: None for matched in matches.values() for label in matched.pictureless}
    return [
        Finding(
            "label-without-image", "warning", f"{label} has no image", "Add the image, or move the label out", (label,)
        )
        for label in labels
        if os.path.normpath(label) not in named
    ]
