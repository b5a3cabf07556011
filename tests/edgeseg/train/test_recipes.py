from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from quick_training import QUICK

from edgeseg.errors import InputError
from edgeseg.train.config import TrainConfig
from edgeseg.train.loop import Trainer
from edgeseg.train.recipes import RECIPES, read_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains(shapes, tmp_path, name):
    quick = {key: getattr(QUICK, key) for key in ("height", "width", "device", "threads", "loss_stride")}
    small = {"network_args": {"backbone": "mobilenet_v3_small", "channels": 16}, "init": "", "amp": "off"}
    settings = {**read_recipe(name), **quick, **small, "data": shapes, "output": tmp_path / "run", "epochs": 1}
    assert Trainer(TrainConfig(**settings)).run().model.is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_data_it_is_for_and_only_what_is_no_default(name):
    path = Path(TrainConfig.__module__.replace(".", "/")).parent / "recipes" / f"{name}.yaml"
    text = (Path(__file__).parents[3] / path).read_text()
    assert text.startswith("# ")
    default = TrainConfig(data="x")
    assert {key: value for key, value in yaml.safe_load(text).items() if getattr(default, key) == value} in (
        {},
        {"batch_size": 8},
    )


def test_flags_and_configuration_win_over_a_recipe(shapes, tmp_path, run_cli):
    (tmp_path / "config.yaml").write_text("batch_size: 3\nlearning_rate: 0.5\n")
    words = ["--data", shapes, "--output", tmp_path / "run", "--recipe", "few", "--config", tmp_path / "config.yaml"]
    words += ["--learning-rate", 0.01, "--network", "fast_scnn", "--init", "", "--epochs", 1, "--height", 64]
    words += ["--width", 96, "--device", "cpu", "--threads", 1, "--amp", "off"]
    assert run_cli("train", *words).rc == 0
    written = TrainConfig.read(tmp_path / "run" / "config.yaml")
    assert (written["learning_rate"], written["batch_size"], written["color_jitter"]) == (0.01, 3, 0.3)


def test_an_unknown_recipe_is_told_the_known_ones():
    with pytest.raises(InputError, match=r"there is no recipe 'fast'\. Use few, industrial, street"):
        read_recipe("fast")
    assert replace(QUICK, **read_recipe("few")).network == "edgenet"
