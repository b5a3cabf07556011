"""Prints the tables of docs/gallery.md, or draws the shapes of its networks.

python benchmarks/gallery.py
python benchmarks/gallery.py --drawings docs/gallery
python benchmarks/gallery.py --drawings . --only unet

In a drawing the image passes to the right, and resolution goes down: a row for each stride, and more than one where an
arrow would cross what stands there. A box is a part of :func:`edgeseg.models.outline.outline_of`.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.files.whole import written_whole
from edgeseg.models.figures import figures_of
from edgeseg.models.network import Network
from edgeseg.models.outline import Part, outline_of
from edgeseg.models.registry import build, network_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES, SIZE = 11, (360, 480)
"""What the figures are of: as CamVid is, (height, width)."""

GROUPS = {
    "encoder_decoder": ("fcn_32s", "fcn_16s", "fcn_8s", "deconvnet", "unet", "segnet"),
    "context": (
        "deeplab_v1",
        "deeplab_v2",
        "pspnet",
        "gcn",
        "deeplab_v3",
        "deeplab_v3_mobilenet",
        "deeplab_v3_plus",
        "deeplab_v3_plus_resnet50",
        "encnet",
    ),
    "real_time": ("enet", "erfnet", "contextnet", "cgnet", "espnetv2"),
    "real_time_2019": ("fast_scnn", "lraspp", "lraspp_mobilenet_v2", "lednet", "dabnet"),
    "real_time_2020": ("bisenet_v2", "ddrnet_23_slim", "stdc1", "regseg", "pp_liteseg_t", "pidnet_s"),
    "edgenet": ("edgenet_nano", "edgenet_small", "edgenet_base", "edgenet"),
    "high_resolution": ("hrnet_w18_small", "hrnet_w18_small_v2"),
    "transformers": ("segformer_b0", "letnet"),
    "edges": ("hed",),
    "pyramid": ("image_pyramid",),
}
"""The drawings, and the networks in each, as the page has them."""

COLUMNS = ("network", "parameters", "GMACs", "stride of the logits", "built upon")


def made(name: str) -> Network:
    """The network without weights: shapes are enough."""
    import torch

    with torch.device("meta"):
        return build(name, CLASSES)


def row(name: str) -> tuple[str, ...]:
    """One cell per column."""
    figures = figures_of(name, CLASSES, SIZE)
    return (
        f"`{name}`",
        f"{figures.parameters / 1e6:.2f} M",
        f"{figures.macs / 1e9:.2f}",
        str(figures.stride),
        figures.backbone or "",
    )


@dataclass(frozen=True)
class Box:
    """A part and its place.

    Attributes:
        part: what stands there.
        column: how many parts lie before it, on the longest way from the image.
        level: halvings of the image's size.
        slot: which of the rows of that level.
    """

    part: Part
    column: int
    level: int
    slot: int


WHOLE = 10
"""The level of what is of the whole picture."""


def placed(parts: list[Part]) -> list[Box]:
    """The parts so that an arrow which leaves to the right in its row, up to the column it leads to, meets no other."""
    height = parts[0].size[0]
    columns: list[int] = []
    for part in parts:
        columns.append(1 + max((columns[source] for source in part.sources), default=-1))
    reach = list(columns)
    for index, part in enumerate(parts):
        for source in part.sources:
            reach[source] = max(reach[source], columns[index])
    boxes: list[Box] = []
    taken: dict[tuple[int, int], list[int]] = {}
    for index, part in enumerate(parts):
        level = WHOLE if part.size == (1, 1) else round(log2(height / part.size[0]))
        behind = [boxes[source].slot for source in part.sources if boxes[source].level == level]
        for slot in [*behind, *range(len(parts))]:
            row = taken.setdefault((level, slot), [])
            free = (
                reach[index] < columns[other]
                or reach[other] < columns[index]
                or (reach[other] == columns[index] and other in part.sources)
                for other in row
            )
            if all(free):
                row.append(index)
                boxes.append(Box(part, columns[index], level, slot))
                break
    return boxes


ROW_IN, COLUMN_IN, LEFT_IN, TITLE_IN = 0.44, 0.7, 0.5, 0.4
INK, PATH, SKIP = "#333333", "#8a8a8a", "#c2410c"
FILLS = {"end": "#e5e7eb", "backbone": "#bfdbfe", "own": "#fde68a"}


def draw(names: tuple[str, ...], to: Path) -> None:
    """A PNG of the networks, one below the other."""
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    drawn = {name: placed(outline_of(made(name))) for name in names}
    rows = {name: rows_of(boxes) for name, boxes in drawn.items()}
    heights = {name: len(rows[name]) * ROW_IN + TITLE_IN for name in names}
    width = LEFT_IN + COLUMN_IN * (1 + max(box.column for boxes in drawn.values() for box in boxes))
    figure = Figure(figsize=(width, sum(heights.values())), dpi=130)
    FigureCanvasAgg(figure)
    top = sum(heights.values())
    for name in names:
        top -= heights[name]
        axes = figure.add_axes((0, top / sum(heights.values()), 1, heights[name] / sum(heights.values())))
        axes.set_xlim(0, width)
        axes.set_ylim(heights[name], 0)
        axes.axis("off")
        draw_network(axes, name, drawn[name], rows[name], width)
    pixels = BytesIO()
    figure.savefig(pixels, format="png")
    few_colours = Image.open(pixels).convert("RGB").quantize(48, dither=Image.Dither.NONE)
    with written_whole(to, make_folders=True) as part:
        few_colours.save(part, format="png", optimize=True)


def rows_of(boxes: list[Box]) -> list[tuple[int, int]]:
    """The rows (level, slot) from above."""
    return sorted({(box.level, box.slot) for box in boxes})


def draw_network(axes: Axes, name: str, boxes: list[Box], rows: list[tuple[int, int]], width: float) -> None:
    """The rows of its strides, its boxes and the arrows between them."""
    from matplotlib.patches import Rectangle

    axes.text(0.08, 0.23, name, fontsize=9, fontweight="bold", color=INK, va="center")
    for index, (level, slot) in enumerate(rows):
        y = TITLE_IN + index * ROW_IN
        if level % 2 == 0:
            axes.add_patch(Rectangle((0, y), width, ROW_IN, facecolor="#f6f6f4", linewidth=0))
        if slot == min(slot for other, slot in rows if other == level):
            stride = "whole" if level == WHOLE else f"1/{2**level}" if level else "1"
            axes.text(0.08, y + 0.17, stride, fontsize=7, color=INK, va="center")

    def centre(box: Box) -> tuple[float, float]:
        row = rows.index((box.level, box.slot))
        return LEFT_IN + (box.column + 0.45) * COLUMN_IN, TITLE_IN + row * ROW_IN + 0.17

    half = 0.34 * COLUMN_IN
    turns = turns_of(boxes)
    for box, turn in zip(boxes, turns, strict=True):
        for source in box.part.sources:
            arrow(axes, centre(boxes[source]), centre(box), half, turn, boxes[source].column + 1 < box.column)
    for box in boxes:
        x, y = centre(box)
        tall = 0.1 + 0.016 * log2(max(box.part.channels, 1))
        kind = "end" if not box.part.kind else "backbone" if "backbone." in box.part.name else "own"
        patch = Rectangle((x - half, y - tall / 2), 2 * half, tall, facecolor=FILLS[kind], edgecolor=INK, linewidth=0.7)
        patch.set_zorder(3)
        axes.add_patch(patch)
        again = f" ×{box.part.repeats}" if box.part.repeats > 1 else ""
        label: dict[str, Any] = {"ha": "center", "color": INK, "zorder": 4}
        axes.text(x, y + 0.005, f"{box.part.channels}{again}", fontsize=6.5, va="center", **label)
        axes.text(x, y + tall / 2 + 0.02, short(box.part.name), fontsize=5, va="top", linespacing=0.9, **label)


def turns_of(boxes: list[Box]) -> list[float]:
    """For each box how far before it the arrows that lead to it turn, as a share of the gap between two columns."""
    turning: dict[int, list[Box]] = {}
    for box in boxes:
        if any((boxes[s].level, boxes[s].slot) != (box.level, box.slot) for s in box.part.sources):
            turning.setdefault(box.column, []).append(box)
    for column in turning.values():
        column.sort(key=lambda box: (box.level, box.slot))

    def share(box: Box) -> float:
        column = turning.get(box.column, [])
        return (1 + column.index(box)) / (1 + len(column)) if box in column else 0.5

    return [share(box) for box in boxes]


def arrow(
    axes: Axes, begin: tuple[float, float], end: tuple[float, float], half: float, turn: float, skips: bool
) -> None:
    """Along the row, then up or down just before the column that it leads to."""
    x = end[0] - half - turn * (COLUMN_IN - 2 * half)
    colour = SKIP if skips else PATH
    if begin[1] == end[1]:
        x = end[0] - half - 0.05
    axes.plot([begin[0] + half, x, x], [begin[1], begin[1], end[1]], color=colour, linewidth=0.9, zorder=2)
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5}
    axes.annotate("", (end[0] - half, end[1]), (x, end[1]), arrowprops=style, zorder=2)


def short(name: str) -> str:
    """The module's name without the backbone's, in lines that fit a column."""
    words = re.findall(r"[^_.]+[_.]?", re.sub(r"^(network\.)?(backbone\.)?", "", name))
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > 13 and lines[-1]:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, metavar="FOLDER", help="draw into it, in place of the table")
    parser.add_argument("--only", choices=[*GROUPS, *network_names()], metavar="NAME", help="a drawing or a network")
    given = parser.parse_args()
    groups = {given.only: GROUPS.get(given.only, (given.only,))} if given.only else GROUPS
    if given.drawings:
        for group, names in groups.items():
            draw(names, given.drawings / f"{group}.png")
        return
    rule = ("---", "---:", "---:", "---:", "---")
    for cells in (COLUMNS, rule, *(row(name) for names in groups.values() for name in names)):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
