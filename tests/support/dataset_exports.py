"""Small data sets as each format's tool lays them out: pictures of 16x12, two classes or three, and what they hold.

Labels are drawn by hand here, from what the format says of pixels, and by no code that is tested.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

WIDTH, HEIGHT = 16, 12


@dataclass
class Export:
    """A data set in a folder.

    Attributes:
        folder: where it is.
        format: its name.
        names: of the classes.
        labels: by split and the picture's stem.
        recognised: whether the folder tells its format without a dataset.yaml.
    """

    folder: Path
    format: str
    names: tuple[str, ...]
    labels: dict[str, dict[str, np.ndarray]]
    recognised: bool = True
    pictures: dict[str, Path] = field(default_factory=dict)


def picture(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def save(path: Path, labels: np.ndarray, palette: bool = False) -> Path:
    """A label file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if palette:
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.save(path)
    return path


def blocks(*parts: tuple[int, int, int, int, int], rest: int = 0) -> np.ndarray:
    """Labels with rectangles in them: (value, left, top, right, bottom), the last two beyond it."""
    labels = np.full((HEIGHT, WIDTH), rest, np.uint8)
    for value, left, top, right, bottom in parts:
        labels[top:bottom, left:right] = value
    return labels


def corners(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as a polygon: x, y, x, y, …"""
    return [left, top, right, top, right, bottom, left, bottom]


def write_json(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


FIRST = blocks((1, 2, 1, 10, 6), (2, 8, 4, 14, 11))
SECOND = blocks((2, 0, 0, 5, 12))
"""What the pictures of most of these hold, where an outline's far side is not inside."""


def folders(folder: Path) -> Export:
    labels = {"train": {"a": FIRST, "b": SECOND}, "val": {"c": FIRST}}
    for split, own in labels.items():
        for stem, values in own.items():
            picture(folder / split / "images" / f"{stem}.png")
            save(folder / split / "labels" / f"{stem}.png", values)
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in labels}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": ["ground", "car", "tree"], "splits": splits}))
    return Export(folder, "folders", ("ground", "car", "tree"), labels, recognised=False)


CITYSCAPES_NAMES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)


def cityscapes(folder: Path, kind: str = "labelIds") -> Export:
    ids = blocks((7, 0, 0, 16, 6), (26, 4, 4, 9, 9), (33, 10, 2, 12, 12), (1, 0, 11, 16, 12))  # 1: the ego vehicle
    labels = blocks((0, 0, 0, 16, 6), (13, 4, 4, 9, 9), (18, 10, 2, 12, 12), (255, 0, 11, 16, 12), rest=255)
    values = ids if kind == "labelIds" else labels
    found: dict[str, dict[str, np.ndarray]] = {}
    for split, city, number in (("train", "aachen", 19), ("train", "bochum", 0), ("val", "lindau", 1)):
        stem = f"{city}_000000_{number:06}"
        picture(folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        save(folder / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png", values)
        write_json(folder / "gtFine" / split / city / f"{stem}_gtFine_polygons.json", {"objects": []})
        found.setdefault(split, {})[f"{stem}_leftImg8bit"] = labels
    return Export(folder, "cityscapes", CITYSCAPES_NAMES, found)


VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def voc(folder: Path) -> Export:
    labels = blocks((15, 2, 1, 10, 6), (255, 10, 1, 11, 6), (20, 11, 8, 16, 12))
    found = {"train": ("2007_000032", "2007_000039"), "val": ("2007_000033",)}
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, stems in found.items():
        (lists / f"{split}.txt").write_bytes(b"".join(f"{stem}\r\n".encode() for stem in stems))
        for stem in stems:
            picture(folder / "JPEGImages" / f"{stem}.jpg")
            save(folder / "SegmentationClass" / f"{stem}.png", labels, palette=True)
    picture(folder / "JPEGImages" / "2007_unlabelled.jpg")
    return Export(folder, "voc", VOC_NAMES, {name: dict.fromkeys(own, labels) for name, own in found.items()})


def ade20k(folder: Path) -> Export:
    values = blocks((1, 0, 0, 16, 6), (150, 3, 3, 9, 9))
    labels = blocks((0, 0, 0, 16, 6), (149, 3, 3, 9, 9), rest=255)
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, split, count in (("training", "train", 2), ("validation", "val", 1)):
        for number in range(1, count + 1):
            stem = f"ADE_{split}_{number:08}"
            picture(folder / "images" / name / f"{stem}.jpg")
            save(folder / "annotations" / name / f"{stem}.png", values)
            found.setdefault(split, {})[stem] = labels
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{k}\t0.1\t9\t9\tthing {k}, also {k} " for k in range(1, 151))]
    (folder / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    return Export(folder, "ade20k", tuple(f"thing {k}" for k in range(1, 151)), found)


def coco_document(annotations: list[dict[str, Any]], files: tuple[str, ...] = ("a.jpg", "b.jpg")) -> dict[str, Any]:
    """A COCO JSON with categories 3 (car) and 7 (tree)."""
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 100 + index, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 1}
            for index, name in enumerate(files)
        ],
        "categories": [{"id": 7, "name": "tree", "supercategory": "x"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": index, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 1, **item}
            for index, item in enumerate(annotations)
        ],
    }


def uncompressed(labels: np.ndarray) -> dict[str, Any]:
    """COCO's run lengths down the columns, the first of them outside."""
    flat = np.concatenate([[0], labels.T.ravel() != 0, [2]]).astype(int)
    ends = np.flatnonzero(np.diff(flat))
    return {"size": [*labels.shape], "counts": np.diff(np.concatenate([[0], ends])).tolist()}


def coco_annotations() -> list[dict[str, Any]]:
    """FIRST as polygons, SECOND as run lengths of a crowd."""
    return [
        {"image_id": 100, "category_id": 3, "segmentation": [corners(2, 1, 10, 6)]},
        {"image_id": 100, "category_id": 7, "segmentation": [corners(8, 4, 14, 7), corners(8, 7, 14, 11)]},
        {"image_id": 101, "category_id": 7, "iscrowd": 1, "segmentation": uncompressed(SECOND)},
    ]


def coco(folder: Path) -> Export:
    labels = {"train": {"a": FIRST, "b": SECOND}, "val": {"c": FIRST, "d": blocks()}}
    write_json(folder / "annotations" / "instances_train2017.json", coco_document(coco_annotations()))
    own = coco_document(coco_annotations()[:2], ("c.jpg", "d.jpg"))
    write_json(folder / "annotations" / "instances_val2017.json", own)
    write_json(folder / "annotations" / "captions_val2017.json", {})
    for split, stems in labels.items():
        for stem in stems:
            picture(folder / f"{split}2017" / f"{stem}.jpg")
    return Export(folder, "coco", ("background", "car", "tree"), labels)


def labelme_document(shapes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    common = {"flags": {}, "group_id": None}
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{**common, **shape} for shape in shapes],
        "imagePath": name,
        "imageData": base64.b64encode(b"\0" * 300).decode(),
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }


def _mask_text(mask: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def labelme_shapes() -> list[dict[str, Any]]:
    """FIRST: Pillow's outline belongs to the shape."""
    return [
        {"label": "car", "shape_type": "polygon", "points": [[2, 1], [9, 1], [9, 5], [2, 5]]},
        {"label": "tree", "shape_type": "rectangle", "points": [[13, 10], [8, 4]]},
    ]


def labelme(folder: Path) -> Export:
    whole = np.ones((12, 5), bool)
    second = [
        {"label": "tree", "shape_type": "mask", "points": [[0, 0], [4, 11]], "mask": _mask_text(whole)},
    ]
    for stem in ("a", "b", "c", "d", "e"):
        picture(folder / f"{stem}.jpg")
        shapes = second if stem == "b" else labelme_shapes()
        write_json(folder / f"{stem}.json", labelme_document(shapes, f"{stem}.jpg"))
    picture(folder / "unlabelled.jpg")
    labels = {"train": {"a": FIRST, "b": SECOND, "d": FIRST, "e": FIRST}, "val": {"c": FIRST}}
    return Export(folder, "labelme", ("background", "car", "tree"), labels)


CVAT_SHAPES = """
    <polygon label="car" source="manual" occluded="0" points="2.00,1.00;10.00,1.00;10.00,6.00;2.00,6.00" z_order="0"/>
    <box label="tree" xtl="8.0" ytl="4.0" xbr="14.0" ybr="11.0" z_order="1"><attribute name="x">1</attribute></box>
"""


def cvat_document(images: dict[str, str]) -> str:
    labels = "".join(
        f"<label><name>{name}</name><color>{color}</color><type>any</type><attributes></attributes></label>"
        for name, color in (("tree", "#33ddff"), ("car", "#fa3253"))
    )
    pictures = "".join(
        f'  <image id="{index}" name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>\n'
        for index, (name, shapes) in enumerate(images.items())
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><id>1</id><labels>{labels}</labels></task></meta>\n{pictures}</annotations>\n"
    )


def cvat(folder: Path) -> Export:
    mask = '<mask label="tree" rle="0, 60" left="0" top="0" width="5" height="12" z_order="0"></mask>'
    images = {f"{stem}.jpg": mask if stem == "b" else CVAT_SHAPES for stem in "abcde"}
    for name in images:
        picture(folder / "images" / name)
    (folder / "annotations.xml").write_text(cvat_document(images))
    swap = np.array([0, 2, 1], np.uint8)
    first, second = swap[FIRST], swap[SECOND]
    labels = {"train": {"a": first, "b": second, "d": first, "e": first}, "val": {"c": first}}
    return Export(folder, "cvat", ("background", "tree", "car"), labels)


def packed_brush(mask: np.ndarray) -> list[int]:
    """What Label Studio writes of a painted mask: runs, and now and then values each for itself."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{values.size:032b}{8 - 1:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    at = 0
    while at < values.size:
        run = 1
        while at + run < values.size and values[at + run] == values[at] and run < 256:
            run += 1
        if run > 8:
            bits += f"1{2:02b}{run - 1:08b}{values[at]:08b}"
        else:
            bits += f"0{0:02b}{run - 1:03b}" + "".join(f"{value:08b}" for value in values[at : at + run])
        at += run
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def region(kind: str, label: str, **value: Any) -> dict[str, Any]:
    """A region of Label Studio."""
    return {
        "id": "r1",
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {kind: [label], **value},
    }


def label_studio_regions() -> list[dict[str, Any]]:
    pairs = np.array(corners(2, 1, 10, 6)).reshape(-1, 2) / (WIDTH, HEIGHT) * 100
    box = {"x": 8 / WIDTH * 100, "y": 4 / HEIGHT * 100, "width": 6 / WIDTH * 100, "height": 7 / HEIGHT * 100}
    return [
        region("polygonlabels", "car", points=pairs.tolist(), closed=True),
        region("rectanglelabels", "tree", rotation=0, **box),
    ]


def label_studio_document(regions: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {
            "id": index,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{name}"},
            "annotations": [{"id": 9, "result": [], "was_cancelled": True}, {"id": index, "result": results}],
            "predictions": [],
        }
        for index, (name, results) in enumerate(regions.items(), 1)
    ]


def label_studio(folder: Path) -> Export:
    painted = [region("brushlabels", "tree", format="rle", rle=packed_brush(SECOND > 0))]
    regions = {f"{stem}.png": painted if stem == "b" else label_studio_regions() for stem in "abcde"}
    for name in regions:
        picture(folder / "images" / name)
    unlabelled = {"id": 77, "data": {"image": "/data/upload/1/f.png"}, "annotations": []}
    write_json(folder / "project-1-at-2026.json", [*label_studio_document(regions), unlabelled])
    labels = {"train": {"a": FIRST, "b": SECOND, "d": FIRST, "e": FIRST}, "val": {"c": FIRST}}
    return Export(folder, "label-studio", ("background", "car", "tree"), labels)


def yolo_line(number: int, left: float, top: float, right: float, bottom: float) -> str:
    """A rectangle through the middles of pixels, which belong to it."""
    pairs = (np.array(corners(left, top, right, bottom)).reshape(-1, 2) + 0.5) / (WIDTH, HEIGHT)
    return " ".join([str(number), *(f"{value:.6f}" for value in pairs.ravel())])


def yolo(folder: Path) -> Export:
    first = "\r\n".join([yolo_line(0, 2, 1, 9, 5), yolo_line(1, 8, 4, 13, 10)])
    second = yolo_line(1, 0, 0, 4, 11)
    texts = {"train": {"a": first, "b": second, "e": ""}, "val": {"c": first}}
    for split, own in texts.items():
        for stem, text in own.items():
            picture(folder / "images" / split / f"{stem}.jpg")
            path = folder / "labels" / split / f"{stem}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            if text:
                path.write_text(text)
    described = {"path": ".", "train": "images/train", "val": "images/val", "nc": 2, "names": {0: "car", 1: "tree"}}
    (folder / "data.yaml").write_text(yaml.safe_dump(described))
    labels = {"train": {"a": FIRST, "b": SECOND, "e": blocks()}, "val": {"c": FIRST}}
    return Export(folder, "yolo", ("background", "car", "tree"), labels)


def roboflow(folder: Path) -> Export:
    labels = {"train": {"a_jpg.rf.1": FIRST, "b_jpg.rf.2": SECOND}, "val": {"c_jpg.rf.3": FIRST}}
    for split, own in labels.items():
        place = folder / ("valid" if split == "val" else split)
        for stem, values in own.items():
            picture(place / f"{stem}.jpg")
            save(place / f"{stem}_mask.png", values)
        with (place / "_classes.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["Pixel Value", " Class"], [0, " background"], [1, " car"], [2, " tree"]])
    return Export(folder, "roboflow", ("background", "car", "tree"), labels)


def joined(folder: Path) -> Export:
    """Two data sets: of ground, car and tree; and of stone, which is ground, of car, and of bush, tree or ground."""
    folders(folder / "first")
    other = folder / "second"
    picture(other / "images" / "z.png")
    save(other / "labels" / "z.png", FIRST)
    splits = {"train": {"images": "images", "labels": "labels"}}
    (other / "dataset.yaml").write_text(yaml.safe_dump({"names": ["stone", "bush", "car"], "splits": splits}))
    parts = [{"data": "first"}, {"data": "second", "map": {"stone": "ground", "bush": ["tree", "ground"]}}]
    described = {"format": "joined", "names": ["ground", "tree", "car"], "parts": parts}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described))
    first, second = (np.array([0, 2, 1], np.uint8)[values] for values in (FIRST, SECOND))
    last = np.array([0, 255, 2], np.uint8)[FIRST]
    labels = {"train": {"a": first, "b": second, "z": last}, "val": {"c": first}}
    return Export(folder, "joined", ("ground", "tree", "car"), labels, recognised=False)


def edges(folder: Path) -> Export:
    """The borders between the classes of another data set."""

    def borders(values: np.ndarray) -> np.ndarray:
        found = np.zeros_like(values)
        for (y, x), value in np.ndenumerate(values):
            beside = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            found[y, x] = any(0 <= v < HEIGHT and 0 <= u < WIDTH and values[v, u] != value for v, u in beside)
        return found

    folders(folder / "whole")
    (folder / "dataset.yaml").write_text("format: edges\ndata: whole\n")
    first, second = borders(FIRST), borders(SECOND)
    return Export(
        folder, "edges", ("rest", "edge"), {"train": {"a": first, "b": second}, "val": {"c": first}}, recognised=False
    )


EXPORTS: dict[str, Callable[[Path], Export]] = {
    "folders": folders,
    "cityscapes": cityscapes,
    "voc": voc,
    "ade20k": ade20k,
    "coco": coco,
    "labelme": labelme,
    "cvat": cvat,
    "label-studio": label_studio,
    "yolo": yolo,
    "roboflow": roboflow,
    "joined": joined,
    "edges": edges,
}
"""By the format's name: writes one into a new folder."""
