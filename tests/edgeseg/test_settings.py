"""Configurations made of settings; TrainConfig's own tests are in cli/test_train.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import typer
from typer.testing import CliRunner

from edgeseg.cli.options import completed, is_around, told_as_flags, with_settings
from edgeseg.errors import InputError
from edgeseg.settings import SettingError, Settings, setting


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


@dataclass(frozen=True)
class Kitchen(Settings):
    """What an oven does not need: values that may be missing, lists, bounds, secrets, one or the other."""

    ALTERNATIVES: ClassVar[dict] = {("key", "key_file"): ("open the door", "Leave one out")}

    dishes: tuple[str, ...] = setting((), "What is cooked", argument=True)
    spices: tuple[str, ...] = setting((), "What goes into it", metavar="SPICE")
    light: bool | None = setting(None, "Whether it is lit; by day it is not")
    gas: bool = setting(True, "Whether there is gas")
    hobs: int | None = setting(None, "How many are on", least=1)
    salt: float = setting(0.5, "How much", least=0, most=1)
    style: Literal["slow", "fast"] | None = setting(None, "Of cooking")
    book: Path | None = setting(None, "Of recipes")
    key: str | None = setting(None, "Of the door", envvar="KITCHEN_KEY", secret=True, saved=False)
    key_file: Path | None = setting(None, "That holds it")


@pytest.fixture
def cook():
    """``cook(["--salt", "1"], env)`` gives what the command line ends with, and its settings or its error."""
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    told = []

    @with_settings(Kitchen)
    def verb(*, context: typer.Context, file: Path | None = None, **flags: object) -> None:
        told.append((Kitchen(**completed(Kitchen, file, flags, context)), is_around(context, "key")))

    app.command()(verb)

    def run(words, env=None):
        done = CliRunner(env=env).invoke(app, words)
        return told[-1] if done.exit_code == 0 and "--help" not in words else done

    return run


def test_what_may_be_missing_is_none_however_it_is_said(tmp_path):
    (tmp_path / "kitchen.yaml").write_text("hobs:\nlight: null\nbook: b.txt\nspices: salt\n")
    kitchen = Kitchen.load(tmp_path / "kitchen.yaml")
    assert (kitchen.hobs, kitchen.light, kitchen.style) == (None, None, None)
    assert (kitchen.book, kitchen.spices) == (Path("b.txt"), ("salt",))
    with pytest.raises(InputError, match=r"salt is None\. Give a finite number"):
        Kitchen(salt=None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hobs: 0", "hobs is 0. Give 1 or more"),
        ("salt: -1", "salt is -1. Give 0 or a positive number"),
        ("salt: 2", "salt is 2. Give at most 1"),
        ("light: 1", "light is 1. Give true or false"),
        ("style: odd", "style is 'odd'. Use one of slow, fast"),
        ("spices: [1]", "spices is not what it can be. Give a text, or a list of some"),
        ("book: [a]", "book is not what it can be. Give a path"),
        (
            "pepper: 1",
            "unknown key 'pepper'. Allowed are book, dishes, gas, hobs, key, key_file, light, salt,",
        ),
    ],
)
def test_what_a_file_says_wrong_is_told_with_its_place(tmp_path, line, message):
    path = tmp_path / "kitchen.yaml"
    path.write_text(line)
    with pytest.raises(InputError) as caught:
        Kitchen.read(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_flags_say_what_fields_can_be(cook):
    words = ["stew", "bread", "--spices", "salt", "--spices", "mace", "--no-light", "--no-gas", "--hobs", "2"]
    kitchen, _ = cook([*words, "--style", "slow", "--book", "b.txt"])
    assert kitchen == Kitchen(("stew", "bread"), ("salt", "mace"), False, False, 2, style="slow", book=Path("b.txt"))
    assert cook([])[0] == Kitchen()
    assert isinstance(cook(["--salt", "2"]).exception, InputError)
    shown = " ".join(cook(["--help"]).stdout.replace("│", " ").split())
    for words in ("SPICE", "--light --no-light", "slow|fast", "is gas [yes].", "0 to 1 [0.5].", "env var: KITCHEN_KEY"):
        assert words in shown
    assert "None" not in shown.split("--file")[0]  # the flags that are made, not the verb's own


def test_flags_win_over_the_environment_and_that_over_the_file(cook, tmp_path):
    (tmp_path / "kitchen.yaml").write_text("key: of the file\nhobs: 3\n")
    file = ["--file", str(tmp_path / "kitchen.yaml")]
    around = {"KITCHEN_KEY": "from around"}
    for words, env, key, key_file in (
        ([], None, "of the file", None),
        ([], around, "from around", None),
        (["--key", "typed"], around, "typed", None),
        (["--key-file", "k"], around, None, Path("k")),
    ):
        kitchen, is_from_around = cook([*file, *words], env)
        assert (kitchen.hobs, kitchen.key, kitchen.key_file) == (3, key, key_file)
        assert is_from_around == (env is around and "--key" not in words)


def test_one_or_the_other_by_the_name_that_the_reader_knows():
    with pytest.raises(SettingError) as caught:
        Kitchen(key="a", key_file="b")
    assert str(caught.value) == "key and key_file each open the door. Leave one out."
    with pytest.raises(InputError, match="KEY and --key-file each open the door"), told_as_flags({"key": "KEY"}):
        Kitchen(key="a", key_file="b")


def test_a_secret_is_not_shown(tmp_path):
    kitchen = Kitchen(key="hunter2", hobs=2)
    assert "hunter2" not in repr(kitchen) + kitchen.to_yaml()
    kitchen.write(tmp_path / "kitchen.yaml")
    assert Kitchen.load(tmp_path / "kitchen.yaml") == Kitchen(hobs=2)
    for text in (
        "key: [hunter2]",
        "key: {hunter2: 1}",
        "key: 'hunter2",
        "rtsp://ada:hunter2@host/: gate",
        "hobs: [hunter2]",
        "style: rtsp://ada:hunter2@host",
        "hunter2",
    ):
        (tmp_path / "kitchen.yaml").write_text(text)
        with pytest.raises(InputError) as caught:
            Kitchen.read(tmp_path / "kitchen.yaml")
        assert "hunter2" not in str(caught.value)
