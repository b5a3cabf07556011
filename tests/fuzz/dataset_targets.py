"""The data sets that tools export, as fuzzed: the file that says what the pictures show, beside good pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dataset_exports import EXPORTS
from fuzzing import Target

READ = {
    "coco": "annotations/instances_train2017.json",
    "labelme": "a.json",
    "cvat": "annotations.xml",
    "label-studio": "project-1-at-2026.json",
    "yolo": "labels/train/a.txt",
    "roboflow": "train/_classes.csv",
    "voc": "ImageSets/Segmentation/train.txt",
    "ade20k": "objectInfo150.txt",
}
"""The file of each format that is damaged."""

DOCUMENTS = {"coco", "labelme", "label-studio"}
"""Formats in JSON: their values are changed as well, not only bytes."""


def _good(name: str) -> tuple[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = EXPORTS[name](Path(folder)).folder / READ[name]
        return file.suffix, file.read_bytes()


def _as_json(values: object) -> bytes:
    return json.dumps(values).encode("utf-8", "surrogatepass")


def _reader(name: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        import logging

        from edgeseg.data.dataset import Dataset

        logging.getLogger("edgeseg").setLevel(logging.ERROR)
        folder = path.parent / "export"
        if not folder.is_dir():
            EXPORTS[name](folder)
        (folder / READ[name]).write_bytes(path.read_bytes())
        dataset = Dataset.load(folder, name)
        for split in dataset.splits.values():
            for sample in split.samples():
                labels = sample.read_labels()
                assert labels.dtype == "uint8"
                assert labels.ndim == 2

    return read


def _list_seeds() -> list[tuple[str, bytes]]:
    lines = b"train/images/a.png train/labels/a.png\r\ntrain/images/b.png\ttrain/labels/b.png\n"
    return [(".txt", lines), (".txt", b"\xef\xbb\xbf" + lines)]


def _read_list(path: Path) -> None:
    from edgeseg.data.dataset import Dataset

    folder = path.parent / "export"
    if not folder.is_dir():
        EXPORTS["folders"](folder)
        (folder / "dataset.yaml").write_text("names: [a, b, c]\nsplits: {train: {list: list.txt}}\n")
    (folder / "list.txt").write_bytes(path.read_bytes())
    for sample in Dataset.load(folder).split("train").samples():
        sample.read_labels()


def dataset_targets(documents: Callable[..., Callable[[], object]]) -> list[Target]:
    """A target for each format, and one for lists of pairs.

    Args:
        documents: makes seeds of a good document, its suffix and what writes one.
    """
    targets = [Target("list", _list_seeds, _read_list)]
    for name in READ:
        if name in DOCUMENTS:
            seeds = documents(lambda name=name: json.loads(_good(name)[1]), ".json", _as_json, 200)
        else:
            seeds = lambda name=name: [_good(name)]  # noqa: E731
        targets.append(Target(name, seeds, _reader(name)))
    return targets
