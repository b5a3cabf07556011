"""Configurations made of settings; TrainConfig's own tests are in cli/test_train.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
import typer
from typer.testing import CliRunner

from edgeseg.cli.options import with_settings
from edgeseg.errors import InputError
from edgeseg.settings import Settings, setting


@dataclass(frozen=True)
class Oven(Settings):
    OLD_NAMES: ClassVar[dict] = {"heat": {"upper": "top"}}

    degrees: int = setting(180, "How hot")
    heat: Literal["top", "bottom"] = setting("top", "Where from")
    fan: bool = setting(False, "Whether air moves")
    notes: dict[str, str] = setting({}, parse=lambda value, name: dict(value))


def test_what_is_not_given_is_the_default_and_nobody_elses():
    one, other = Oven(), Oven(fan=True)
    assert (one.degrees, one.heat, one.fan, other.fan) == (180, "top", False, True)
    one.notes["a"] = "b"
    assert other.notes == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"degrees": "hot"}, "degrees is 'hot'. Give a whole number"),
        ({"fan": 1}, "fan is 1. Give true or false"),
        ({"heat": "side"}, "heat is 'side'. Use one of top, bottom"),
        ({"heat": 3}, "heat is 3. Give text"),
    ],
)
def test_another_kind_of_value_is_told(values, message):
    with pytest.raises(InputError) as caught:
        Oven(**values)
    assert str(caught.value).rstrip(".") == message


def test_a_file_and_flags_say_the_same(tmp_path):
    oven = Oven(degrees=220, heat="upper", fan=True, notes={"cake": "low"})
    assert oven.heat == "top"
    oven.write(tmp_path / "oven.yaml")
    assert Oven(**Oven.read(tmp_path / "oven.yaml")) == oven


def test_flags_are_made_of_the_fields():
    told = []

    @with_settings(Oven)
    def bake(*, twice: bool = False, **flags: object) -> None:
        told.append((twice, flags))

    app = typer.Typer(rich_markup_mode="rich", add_completion=False)  # as edgeseg has it
    app.command()(bake)
    runner = CliRunner()
    assert runner.invoke(app, ["--degrees", "200", "--heat", "bottom", "--twice"]).exit_code == 0
    assert runner.invoke(app, ["--fan"]).exit_code == 0
    assert told == [(True, {"degrees": 200, "heat": "bottom"}), (False, {"fan": True})]
    shown = " ".join(runner.invoke(app, ["--help"]).stdout.replace("│", " ").split())
    for words in ("How hot [180].", "top|bottom", "Where from [top].", "--fan --no-fan"):
        assert words in shown
