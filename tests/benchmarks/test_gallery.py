"""The drawings and tables of docs/gallery.md have every network, and arrows that meet no box but their own."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

torch = pytest.importorskip("torch", reason="the networks need torch; pip install 'edgeseg[train]'")

from PIL import Image  # noqa: E402

from edgeseg.models.network import count_parameters  # noqa: E402
from edgeseg.models.outline import Part, outline_of  # noqa: E402
from edgeseg.models.registry import FAMILIES, network_names  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "gallery.md").read_text()


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    return load_script(REPOSITORY / "benchmarks" / "gallery.py", "gallery")


def test_every_network_is_drawn_and_in_a_table_once(gallery: ModuleType):
    shipped = {name for name in network_names() if any(name.startswith(family) for family in FAMILIES)}
    drawn = [name for names in gallery.GROUPS.values() for name in names]
    assert len(drawn) == len(set(drawn))
    assert shipped <= set(drawn)
    tables = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert tables == drawn
    for group in gallery.GROUPS:
        picture = REPOSITORY / "docs" / "gallery" / f"{group}.png"
        assert f"(gallery/{group}.png)" in PAGE
        assert f"gallery.py --only {group} -->" in PAGE
        assert picture.stat().st_size < 150_000


def test_the_tables_are_the_scripts(gallery: ModuleType):
    for name in ("enet", "lraspp"):
        assert f"| {' | '.join(gallery.row(name))} |" in PAGE


def test_the_parameters_are_those_of_the_networks(gallery: ModuleType):
    for name in network_names():
        if f"`{name}`" in PAGE:
            assert f"| `{name}` | {count_parameters(gallery.made(name)) / 1e6:.2f} M |" in PAGE


def test_an_arrow_meets_no_box_but_those_it_leads_to(gallery: ModuleType):
    """It leaves in the row of its box, as far as the column that it leads to."""
    for name in ("ddrnet_23_slim", "image_pyramid"):
        boxes = gallery.placed(outline_of(gallery.made(name)))
        places = [(box.column, box.level, box.slot) for box in boxes]
        assert len(set(places)) == len(places)
        for index, source in enumerate(boxes):
            for taker in boxes:
                if index in taker.part.sources:
                    assert source.column < taker.column
                    met = {
                        box.part.name
                        for box in boxes
                        if (box.level, box.slot) == (source.level, source.slot)
                        and source.column < box.column <= taker.column
                        and index not in box.part.sources
                    }
                    assert not met, f"{name}: {source.part.name} to {taker.part.name}"


def test_two_ways_from_one_box_lie_in_rows_of_their_own(gallery: ModuleType):
    size = (8, 16)
    parts = [
        Part("image", "", 3, size, ()),
        Part("a", "Conv2d", 4, size, (0,)),
        Part("b", "Conv2d", 4, size, (1,)),
        Part("logits", "", 4, size, (1, 2)),
    ]
    boxes = gallery.placed(parts)
    assert [box.column for box in boxes] == [0, 1, 2, 3]
    assert boxes[1].slot != boxes[2].slot


def test_a_drawing_is_a_small_picture_as_high_as_its_rows(gallery: ModuleType, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib; pip install 'edgeseg[train]'")
    gallery.draw(("fcn_32s",), tmp_path / "there" / "one.png")
    gallery.draw(("fcn_32s", "unet"), tmp_path / "two.png")
    with Image.open(tmp_path / "there" / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        rows = one.height / two.height
        assert len(one.getcolors() or []) > 5
        assert one.width < two.width  # unet has one column more
    high = [rows * gallery.ROW_IN + gallery.TITLE_IN for rows in (6, 5)]  # down to 1/32 and to 1/16
    assert rows == pytest.approx(high[0] / sum(high), rel=0.01)
