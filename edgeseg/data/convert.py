"""A data set of any format written as folders of pictures and index labels, with a dataset.yaml."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from edgeseg.data.dataset import Dataset
from edgeseg.data.pictures import read_image_size
from edgeseg.data.samples import Sample
from edgeseg.errors import DatasetError, SinkError
from edgeseg.files.whole import cannot_write, keep_apart, write_whole, written_whole
from edgeseg.spec.palette import lookup_table
from edgeseg.types import LabelsU8

DATASET_FILE = "dataset.yaml"


def convert(
    dataset: Dataset,
    folder: str | Path,
    progress: Callable[[Sequence[tuple[str, Sample]]], Iterable[tuple[str, Sample]]] = iter,
) -> Path:
    """Write a data set as ``SPLIT/images``, ``SPLIT/labels`` and a dataset.yaml, which comes last.

    Pictures become hard links to the files they are, or copies on another disk; labels become PNG with the classes'
    colours as their palette. Pictures of one name, from different folders, are called by the folder too.

    Args:
        dataset: all its splits.
        folder: a new or empty one.
        progress: wraps the samples with the names of their splits, to show how far it has come.

    Returns:
        the dataset.yaml.

    Raises:
        DatasetError: a picture or label cannot be used, or the two differ in size.
        SinkError: the folder holds something, is that of the data, or cannot be written.
    """
    folder = Path(folder)
    _check_empty(folder)
    samples = {name: split.samples() for name, split in dataset.splits.items()}
    keep_apart([folder], dataset.places)
    names = {name: _file_names(own) for name, own in samples.items()}
    places = {name: _folder_name(name, list(samples)) for name in samples}
    work = [(name, sample) for name, own in samples.items() for sample in own]
    for name, sample in progress(work):
        file = names[name][sample.image]
        labels = sample.read_labels()
        height, width = read_image_size(sample.image)
        if labels.shape != (height, width):
            what = f"{sample.image} is {width}x{height} but its label in {sample.label} is"
            raise DatasetError(f"{what} {labels.shape[1]}x{labels.shape[0]}", "Make both the same size")
        _save_labels(folder / places[name] / "labels" / f"{Path(file).stem}.png", labels, dataset)
        _link_or_copy(sample.image, folder / places[name] / "images" / file)
    write_whole(folder / DATASET_FILE, _described(dataset, places))
    return folder / DATASET_FILE


def _check_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        first = next(iter(sorted(os.listdir(folder))), None)
    except OSError as error:
        raise cannot_write(folder, error) from None
    if first is not None:
        raise SinkError(f"{folder} is not empty ({first})", "Choose a new folder, or empty this one")


def _file_names(samples: Sequence[Sample]) -> dict[Path, str]:
    """A file name for each picture, of different stems."""
    taken: set[str] = set()
    names: dict[Path, str] = {}
    for sample in samples:
        image = sample.image
        stem = image.stem
        # The folders above are added until it is a name of its own; no file system may take two for one.
        above = list(reversed(image.parent.parts[1:]))
        while stem.lower() in taken and above:
            stem = f"{above.pop(0)}_{stem}"
        if stem.lower() in taken:
            raise DatasetError(f"{image} comes twice", "Name each picture once in a split")
        taken.add(stem.lower())
        names[image] = stem + image.suffix
    return names


def _folder_name(split: str, splits: Sequence[str]) -> str:
    """A folder for a split: its name, where that can be one."""
    plain = all(letter.isalnum() or letter in "-_" for letter in split)
    alone = sum(other.lower() == split.lower() for other in splits) == 1
    return split if plain and alone else f"split_{splits.index(split)}"


def _save_labels(path: Path, labels: LabelsU8, dataset: Dataset) -> None:
    from PIL import Image

    image = Image.fromarray(labels)
    image.putpalette(lookup_table(dataset.colors).ravel().tolist())  # which makes it one of a palette
    with written_whole(path, make_folders=True, durable=False) as part:
        image.save(part, "PNG")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # another disk, or one that knows no links
            os.link(os.path.realpath(source), target)
            return
    except OSError as error:
        raise cannot_write(target, error) from None
    with written_whole(target, durable=False) as part:
        try:
            shutil.copyfile(source, part)
        except OSError as error:
            if error.filename == str(part) or error.filename is None:
                raise
            raise DatasetError(f"{source} cannot be read ({error.strerror})", "Correct the path") from None


def _described(dataset: Dataset, places: dict[str, str]) -> str:
    import yaml

    values = {
        "names": list(dataset.names),
        "colors": [list(color) for color in dataset.colors],
        "label_format": "index",
        **({"bit_depth": dataset.bit_depth} if dataset.bit_depth else {}),
        "splits": {name: {"images": f"{place}/images", "labels": f"{place}/labels"} for name, place in places.items()},
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
