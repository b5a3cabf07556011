"""The same picture where it must not be: in two splits, or twice in one with other labels."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from edgeseg.data.check.findings import Finding, Kind
from edgeseg.data.check.likeness import nearest_alike
from edgeseg.data.check.look import Look
from edgeseg.data.check.recordings import recordings

_APART = "Keep it in one split: figures of pictures that training has seen are too good"

_BY_RECORDING = "Give each recording to one split, or take the figures for too good"


def repeated(looks: Mapping[str, Sequence[Look]]) -> list[Finding]:
    """Pictures that two splits have, that look the same in both, or that one has twice with other labels.

    A split that only joins others, such as trainval, is compared with none.

    Args:
        looks: of the pictures in each split.
    """
    findings = [finding for own in looks.values() for finding in _contradicting(own)]
    apart = {name: own for name, own in looks.items() if name not in _joint(looks)}
    for (one, its), (other, others) in combinations(apart.items(), 2):
        findings += _identical(one, its, other, others)
    findings += _of_recordings(apart)
    return findings


def _joint(looks: Mapping[str, Sequence[Look]]) -> set[str]:
    """The splits that hold all pictures of two others or more."""
    files = {name: {os.path.realpath(look.sample.image) for look in own} for name, own in looks.items()}
    return {
        name
        for name, own in files.items()
        if sum(bool(other) and other < own for key, other in files.items() if key != name) > 1
    }


def _contradicting(looks: Sequence[Look]) -> Iterator[Finding]:
    first: dict[bytes, Look] = {}
    for look in looks:
        if not look.digest or not look.label_digest:
            continue
        other = first.setdefault(look.digest, look)
        if other.label_digest != look.label_digest:
            files = (other.sample.image, look.sample.image)
            what = f"{files[0]} and {files[1]} are the same picture with different labels"
            yield Finding("contradicting-labels", "error", what, "Keep the one whose labels are right", files)


def _identical(one: str, its: Sequence[Look], other: str, others: Sequence[Look]) -> Iterator[Finding]:
    """Between two splits; what is identical is not told as near-identical too."""
    known = {look.digest: look for look in its if look.digest}
    rest = []
    for look in others:
        if look.digest and look.digest in known:
            yield _pair("identical-across-splits", one, known[look.digest], other, look)
        elif look.thumb is not None:
            rest.append(look)
    seen = [look for look in its if look.thumb is not None]
    found = nearest_alike(
        [look.thumb for look in rest if look.thumb is not None], [look.thumb for look in seen if look.thumb is not None]
    )
    for look, index in zip(rest, found, strict=True):
        if index is not None:
            yield _pair("near-identical-across-splits", one, seen[index], other, look)


def _pair(kind: Kind, one: str, mine: Look, other: str, its: Look) -> Finding:
    exactly = kind == "identical-across-splits"
    files = (its.sample.image, mine.sample.image)
    what = f"{files[0]} in {other} is {'' if exactly else 'nearly '}the same picture as {files[1]} in {one}"
    return Finding(kind, "error" if exactly else "warning", what, _APART, files)


def _of_recordings(looks: Mapping[str, Sequence[Look]]) -> Iterator[Finding]:
    """For each picture of a later split the frame of an earlier one that is next to it in a recording."""
    names = list(looks)
    for prefix, frames in recordings(looks).items():
        for one, other in combinations(names, 2):
            its = [frame for frame in frames if frame.split == one]
            others = [frame for frame in frames if frame.split == other]
            numbers = [frame.number for frame in its]
            for frame in others if its else ():
                place = bisect_left(numbers, frame.number)
                near = min(its[max(0, place - 1) : place + 1], key=frame.distance)
                files = (frame.look.sample.image, near.look.sample.image)
                called = f"the recording {prefix}" if prefix else "one recording"
                away = f"{frame.distance(near)} numbers away"
                what = f"{files[0]} in {other} is of {called}, as is {files[1]} in {one}, {away}"
                yield Finding("one-recording-across-splits", "warning", what, _BY_RECORDING, files)
