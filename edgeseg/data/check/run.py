"""What is wrong with a data set, found in one pass over its files before an hour of training is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgeseg._native import available_cores
from edgeseg.data.check.across import repeated
from edgeseg.data.check.contents import absent_classes, masks_in_disguise, odd_sizes, uniform_labels
from edgeseg.data.check.findings import gathered
from edgeseg.data.check.headers import Size
from edgeseg.data.check.look import Look, look_at
from edgeseg.data.check.pairing import match_files
from edgeseg.data.check.report import CheckReport, SplitContents
from edgeseg.data.class_counts import keep_class_pixels
from edgeseg.data.dataset import Dataset
from edgeseg.data.samples import Sample
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE

_AHEAD = 256
"""Pictures that are given to the threads at a time, so that a large split is not held as waiting work."""


def check(
    dataset: Dataset,
    *,
    train_split: str = "train",
    input_size: Size | None = None,
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> CheckReport:
    """Look at every picture and label of a data set, and say what is wrong.

    Each file is decoded once, by as many threads as there are cores, JPEG at a part of its size; two kilobytes are
    kept of each picture. The pixels of each class that are counted are kept for training.

    Args:
        dataset: of any format.
        train_split: the split that must show every class.
        input_size: (height, width) of the network to be trained, to know which pictures are too small for it; None to
            leave that out.
        progress: wraps the samples, to show how far it has come.

    Raises:
        MissingDependencyError: pictures are HEIC by their names, and pillow-heif is not installed.
    """
    samples, findings = match_files(dataset)
    unpaired = bool(findings)
    every = [(name, sample) for name, own in samples.items() for sample in own]
    looks: dict[str, list[Look]] = {name: [] for name in samples}
    counts = {name: np.zeros(IGNORE + 1, dtype=np.int64) for name in samples}
    shown = progress([sample for _, sample in every])
    for (name, _), _, (look, pixels) in zip(every, shown, _looked_at(dataset, every), strict=True):
        looks[name].append(look)
        counts[name] += pixels
        findings += look.findings
    findings += masks_in_disguise(looks)
    for name, own in looks.items():
        pixels = counts[name][: dataset.num_classes]
        if own:
            findings += absent_classes(dataset, name, pixels, trained_on=name == train_split)
        findings += [*uniform_labels(dataset, own), *odd_sizes(own, input_size)]
        if own and not unpaired and all(look.label_digest for look in own):
            _keep(dataset, name, pixels)
    findings += repeated(looks)
    contents = {name: _contents(own, counts[name], dataset.num_classes) for name, own in looks.items()}
    return CheckReport(dataset, samples, contents, tuple(gathered(findings)))


def _looked_at(dataset: Dataset, samples: Sequence[tuple[str, Sample]]) -> Iterator[tuple[Look, NDArray[np.int64]]]:
    look = partial(look_at, bit_depth=dataset.bit_depth)
    threads = ThreadPoolExecutor(available_cores())  # decoders let them run together
    try:
        for begin in range(0, len(samples), _AHEAD):
            yield from threads.map(look, [sample for _, sample in samples[begin : begin + _AHEAD]])
    finally:
        threads.shutdown(cancel_futures=True)


def _keep(dataset: Dataset, split: str, pixels: NDArray[np.int64]) -> None:
    try:
        keep_class_pixels(dataset, split, pixels)
    except DatasetError:  # its files have changed since
        return


def _contents(looks: Sequence[Look], counts: NDArray[np.int64], num_classes: int) -> SplitContents:
    sizes = Counter(look.size for look in looks if look.size is not None)
    return SplitContents(len(looks), counts[:num_classes], int(counts[IGNORE]), dict(sizes.most_common()))
