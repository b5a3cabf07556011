"""``edgeseg train``: its flags, its config file, and what it says of data it cannot use."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch", reason="training needs torch; pip install 'edgeseg[train]'")

import edgeseg.cli
from edgeseg.cli.train import train
from edgeseg.errors import InputError
from edgeseg.models.checkpoint import load_network
from edgeseg.train.config import TrainConfig

FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}


@pytest.fixture
def data(tmp_path):
    """A dataset folder of two training images and one to validate on, 96x64, three classes in columns."""
    labels = np.arange(3, dtype=np.uint8).repeat(32)[None].repeat(64, axis=0)
    for split, names in (("train", "ab"), ("val", "c")):
        for kind, array in (("images", labels[..., None].repeat(3, 2) * 100), ("labels", labels)):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
            for name in names:
                Image.fromarray(array).save(tmp_path / "data" / split / kind / f"{name}.png")
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    write_yaml(tmp_path / "data" / "dataset.yaml", {"names": ["a", "b", "c"], "splits": splits})
    return tmp_path / "data"


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """``refused("train", …)`` runs the command here, wants exit code 2 and one line on stderr, and returns it."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgeseg", *map(str, args)])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as caught:
            edgeseg.cli.main()
        stdout, stderr = capsys.readouterr()
        assert caught.value.code == 2
        assert stdout == ""
        assert stderr.startswith("edgeseg: error: ")
        assert len(stderr.splitlines()) == 1
        assert not (tmp_path / "runs").exists()
        return stderr

    return run


def write_yaml(path, content):
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_flags_are_the_config_keys_and_of_their_types():
    flags = inspect.signature(train).parameters
    assert set(flags) - {"config", "recipe", "resume"} == set(FIELDS)
    hints = get_type_hints(TrainConfig)
    for name, hint in get_type_hints(train).items():
        if name in FIELDS:
            wanted = {"data": Path, "output": Path}.get(name, hints[name] if hints[name] in (int, float, bool) else str)
            assert set(get_args(hint)) == {wanted, type(None)}, name
            assert flags[name].default is None


def test_help_shows_the_defaults_that_are_used(run_cli):
    text = run_cli("train", "--help").stdout
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│ --")}
    for name, field in FIELDS.items():
        if field.default not in (dataclasses.MISSING, "") and field.default is not False:
            line = lines["--" + name.replace("_", "-")]
            shown = line[line.rindex("[") + 1 : line.rindex("]")].removeprefix("default: ")
            assert type(field.default)(shown) == field.default, name


def test_every_setting_survives_the_config_file(tmp_path):
    config = TrainConfig(data=tmp_path / "data", amp="on", schedule="cosine", epochs=7, warmup_epochs=1, crop_width=8)
    config.write(tmp_path / "config.yaml")
    assert TrainConfig(**TrainConfig.read(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize("path", [str, Path])
def test_paths_may_be_text(path):
    config = TrainConfig(data=path("my_data"), output=path("runs/x"), init=path("a.pt"))
    assert (config.data, config.output, config.init) == (Path("my_data"), Path("runs/x"), "a.pt")
    assert TrainConfig(data="x", qat=path("b.pt")).qat == "b.pt"
    assert TrainConfig(data="x", init=None, qat=None).init == ""


def test_the_older_name_of_a_schedule_is_understood(tmp_path):
    assert TrainConfig(data="x", schedule="one-cycle") == TrainConfig(data="x", schedule="cosine")
    (tmp_path / "config.yaml").write_text("schedule: one-cycle\n")
    assert TrainConfig.read(tmp_path / "config.yaml") == {"schedule": "cosine"}


def test_a_loss_as_it_was_told_before_it_had_a_language(tmp_path):
    (tmp_path / "config.yaml").write_text("ohem_threshold: 0.7\n")
    assert TrainConfig.read(tmp_path / "config.yaml") == {"loss": "ohem(0.7) + dice"}
    (tmp_path / "config.yaml").write_text("ohem_threshold: 1.0\ndice_weight: 0.5\nepochs: 3\n")
    assert TrainConfig.read(tmp_path / "config.yaml") == {"epochs": 3, "loss": "cross_entropy + dice(0.5)"}
    (tmp_path / "config.yaml").write_text("dice_weight: 0\n")
    assert TrainConfig.read(tmp_path / "config.yaml") == {"loss": "cross_entropy"}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("value", [[], {}, b"x", object(), 1j, float("nan"), float("-inf"), "a\0b", -1, 2.5, True])
def test_a_value_of_another_kind_is_one_line(field, value):
    fitting = {"float": (2.5,), "bool": (True,), "Amp": (True,), "Compile": (True,), "NetworkArgs": ({},)}
    if value in fitting.get(field.type, ()) or (field.type == "str" and value == "a\0b"):
        return
    with pytest.raises(InputError, match=f"{field.name}") as caught:
        TrainConfig(**{"data": "x", field.name: value})
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_numbers_too():
    config = TrainConfig(data="x", learning_rate=1, epochs=np.int64(3), aux_weight=np.float32(0.5))
    assert (config.learning_rate, config.epochs, config.aux_weight) == (1.0, 3, 0.5)
    assert [type(value) for value in (config.learning_rate, config.epochs, config.aux_weight)] == [float, int, float]


def test_a_bare_on_or_off_means_what_it_says(tmp_path):
    for text in ("on", "off", "auto"):
        (tmp_path / "config.yaml").write_text(f"amp: {text}\nlearning_rate: 1\n")
        assert TrainConfig.read(tmp_path / "config.yaml") == {"amp": text, "learning_rate": 1.0}


def test_flags_win_over_the_config_file(run_cli, data, tmp_path):
    settings = {
        "data": str(data),
        "output": str(tmp_path / "run"),
        "height": 64,
        "width": 96,
        "epochs": 5,
        "device": "cpu",
        "seed": 3,
    }
    config = write_yaml(tmp_path / "config.yaml", settings)
    done = run_cli("train", "--config", config, "--epochs", 1, "--threads", 1)
    assert done.rc == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].endswith("parameters, 2 training and 1 validation images, 0 rendered, on cpu")
    assert lines[1].startswith("epoch 1/1  loss ")
    assert lines[-1] == f"next: edgeseg export {tmp_path / 'run' / 'model.pt'}"
    used = TrainConfig.read(tmp_path / "run" / "config.yaml")
    assert used == {**used, **settings, "data": data, "output": tmp_path / "run", "epochs": 1, "threads": 1}


@pytest.fixture
def checkpoint(tmp_path):
    """A Fast-SCNN of the classes of ``data`` with random weights."""
    from edgeseg.models.checkpoint import save_network
    from edgeseg.models.registry import build
    from edgeseg.spec import ModelSpec

    save_network(
        tmp_path / "model.pt",
        build("fast_scnn", 3),
        ModelSpec("fast_scnn", ("a", "b", "c"), input_size=(64, 96), stride=8),
    )
    return tmp_path / "model.pt"


def test_training_for_int8(run_cli, data, checkpoint, tmp_path):
    pytest.importorskip("torchao", reason="--qat needs torchao; pip install 'edgeseg[qat]'")
    output = tmp_path / "run"
    arguments = ("--data", data, "--output", output, "--epochs", 1, "--threads", 1, "--device", "cpu")
    done = run_cli("train", "--qat", checkpoint, "--qat-target", "tensorrt", *arguments)
    assert (done.rc, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"next: edgeseg export {output / 'model.pt'}"
    used = TrainConfig.read(output / "config.yaml")
    wanted = {"network": "fast_scnn", "height": 64, "width": 96, "epochs": 1, "learning_rate": 2e-5, "aux_weight": 0}
    assert used == {**used, **wanted, "qat": str(checkpoint), "qat_target": "tensorrt"}
    again = run_cli("train", "--qat", output / "model.pt", "--data", data, "--output", tmp_path / "again")
    assert again.rc == 2
    assert "has been trained for INT8 already, for tensorrt. Pass the checkpoint that run began" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "enet"], "model.pt is a fast_scnn, not a enet. Leave out network"),
        (["--height", 32], "model.pt takes images of 96x64. Leave out height and width"),
        (["--qat-target", "gpu"], "qat_target is 'gpu'. Use one of cpu, tensorrt"),
        (["--amp", "on"], "no compilation. Leave out init, crop_height, crop_width, amp and compile"),
        (["--crop-width", 48], "whole images"),
        (["--init", "other.pt"], "takes the weights of its own checkpoint"),
    ],
)
def test_what_does_not_go_with_qat(refused, data, checkpoint, arguments, message):
    assert message in refused("train", "--qat", checkpoint, "--data", data, *arguments)


def test_qat_needs_a_checkpoint(refused, data, tmp_path):
    assert "there is no checkpoint gone.pt. Correct the path" in refused("train", "--qat", "gone.pt", "--data", data)
    (tmp_path / "x.pt").write_text("hello")
    assert "x.pt is not a checkpoint or is damaged" in refused("train", "--qat", "x.pt", "--data", data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown key 'epoch'. Allowed are accumulate, amp, aspect,"),
        ("epochs: many", "epochs is 'many'. Give a whole number"),
        ("epochs: 2.5", "epochs is 2.5. Give a whole number"),
        ("epochs: true", "epochs is True. Give a whole number"),
        ("learning_rate: fast", "learning_rate is 'fast'. Give a finite number"),
        ("network: 3", "network is 3. Give text"),
        ("data: [a]", "data is ['a']. Give a path"),
        ("- epochs", "is not a mapping"),
        ("epochs: [", "is not YAML"),
        (b"network: \xff\xfe", "is not text in UTF-8"),
    ],
)
def test_a_config_file_that_says_something_else(refused, data, tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refused("train", "--config", path, "--data", data)
    assert message in line
    assert "config.yaml" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", 0], "epochs is 0. Give a positive number"),
        (["--learning-rate", "nan"], "learning_rate is nan"),
        (["--threads", -1], "threads is -1"),
        (["--seed", -1], "seed is -1"),
        (["--crop-width", -8], "crop_width is -8"),
        (["--schedule", "step"], "schedule is 'step'. Use one of poly, cosine"),
        (["--amp", "maybe"], "amp is 'maybe'. Use one of auto, on, off"),
        (["--class-weights", "all"], "class_weights is 'all'. Use one of log, none"),
        (["--scale-min", 3], "span no range"),
        (["--aspect", 0.5], "span no range"),
        (["--loss", "dice, ohem"], "loss is 'dice, ohem'. Write it as ohem(0.7) + dice"),
        (["--loss", "ohem(0)"], "the threshold of ohem is 0. Give more than 0 and at most 1"),
        (["--loss", "dise"], "there is no loss 'dise'. Use cross_entropy, ohem, balanced, dice, lovasz"),
        (["--ema-decay", 1], "outside 0..1"),
        (["--color-jitter", 1.5], "outside 0..1"),
        (["--loss-stride", 500], "loss_stride 500 is more than the crops' 360 pixels"),
        (["--network", "nonet"], "there is no network 'nonet'"),
        (["--train-split", "none"], "has no split 'none'"),
        (["--synthetic-scenes", 4], "does not have CamVid's classes"),
        (["--config", "gone.yaml"], "gone.yaml cannot be read"),
    ],
)
def test_settings_out_of_range(refused, data, arguments, message):
    assert message in refused("train", "--data", data, *arguments)


def test_no_data(refused):
    assert "there is no data to train on. Add --data" in refused("train")


def spoil_dataset(data, **changes):
    path = data / "dataset.yaml"
    write_yaml(path, {**yaml.safe_load(path.read_text()), **changes})


def spoil_label(data, array):
    Image.fromarray(np.asarray(array, np.uint8)).save(data / "val" / "labels" / "c.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: spoil_dataset(data, classes=3), "dataset.yaml: unknown key 'classes'"),
        (lambda data: spoil_dataset(data, names=["a", "b"]), "holds label index 2, but the classes are 0..1"),
        (lambda data: spoil_label(data, np.full((64, 96), 7)), "c.png holds label index 7, but the classes are 0..2"),
        (lambda data: spoil_label(data, np.zeros((32, 48))), "c.png is 96x64 but its label"),
        (lambda data: spoil_label(data, np.full((64, 96), 255)), "no pixel of the 1 labels in split val"),
        (
            lambda data: (data / "train" / "images" / "notes.txt").write_text("hello"),
            "notes.txt, which is not an image",
        ),
        (lambda data: (data / "val" / "images" / "c.png").write_text("hello"), "c.png is not an image or is damaged"),
        (lambda data: (data / "val" / "labels" / "c.png").unlink(), "val/labels is empty"),
        (lambda data: (data / "train" / "labels" / "b.png").unlink(), "1 of 2 images"),
        (lambda data: (data / "dataset.yaml").unlink(), "no dataset at"),
    ],
)
def test_data_that_cannot_be_used_is_named_before_training(refused, data, spoil, message):
    spoil(data)
    assert message in refused("train", "--data", data)


def test_bad_data_in_a_process_of_its_own(run_cli, data, tmp_path):
    spoil_label(data, np.full((64, 96), 7))
    done = run_cli("train", "--data", data, cwd=tmp_path)
    assert (done.rc, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"edgeseg: error: {data / 'val' / 'labels' / 'c.png'} holds label index 7, but the classes are 0..2. "
        "Add the class to names, or name the value in ignore_index if it means 'no label'."
    ]


def test_a_loss_that_is_no_number_ends_it_and_nothing_is_recommended(run_cli, data, tmp_path):
    arguments = ("--height", 64, "--width", 96, "--threads", 1, "--device", "cpu", "--amp", "off", "--epochs", 20)
    rate = ("--learning-rate", "1e30", "--warmup-epochs", 0)
    done = run_cli("train", "--data", data, "--output", tmp_path / "run", *arguments, *rate)
    assert done.rc == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("edgeseg: error: ")
    assert " of epoch " in line
    assert "Train into another output with a learning_rate below 1e+30." in line
    assert "next:" not in done.stdout


def test_a_class_that_no_training_picture_shows(refused, data):
    for path in sorted((data / "train" / "labels").glob("*.png")):
        Image.fromarray(np.zeros((64, 96), np.uint8)).save(path)
    line = refused("train", "--data", data)
    assert "no pixel of split train of" in line
    assert "has class b, c. Label some, move pictures that show it into the split, or take it out of names" in line


def test_masks_of_0_and_255_are_learned_as_two_classes(run_cli, data, tmp_path):
    for path in sorted(data.glob("*/labels/*.png")):
        mask = np.zeros((64, 96), np.uint8)
        mask[:, 48:] = 255
        Image.fromarray(mask).save(path)
    for path in sorted(data.glob("*/images/*.png")):
        image = np.full((64, 96, 3), 40, np.uint8)
        image[:, 48:] = 220
        Image.fromarray(image).save(path)
    spoil_dataset(data, names=["ground", "defect"])
    recipe = ("--height", 64, "--width", 96, "--threads", 1, "--device", "cpu", "--epochs", 30, "--ema-decay", 0.5)
    still = ("--scale-min", 1, "--scale-max", 1, "--aspect", 1, "--color-jitter", 0, "--learning-rate", 0.01)
    done = run_cli("train", "--data", data, "--output", tmp_path / "run", *recipe, *still, "--eval-every", 30)
    assert done.rc == 0, done.stderr
    measured = run_cli("eval", tmp_path / "run" / "model.pt", "--data", data, "--json")
    classes = {one["name"]: one for one in json.loads(measured.stdout)["classes"]}
    assert classes["defect"]["pixels"] == 64 * 48
    assert classes["defect"]["iou"] > 0.5


def test_a_class_that_validation_lacks_is_told(run_cli, data, tmp_path):
    spoil_label(data, np.where(np.arange(96)[None].repeat(64, 0) < 48, 0, 255))
    arguments = ("--height", 64, "--width", 96, "--threads", 1, "--device", "cpu", "--epochs", 1)
    done = run_cli("train", "--data", data, "--output", tmp_path / "run", *arguments)
    assert done.rc == 0, done.stderr
    assert done.stdout.splitlines()[1] == "split val has no pixel of b, c"


def test_the_config_it_was_given_is_not_replaced(refused, data, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    text = f"# my own notes\ndata: {data}\noutput: {folder}\n"
    (folder / "config.yaml").write_text(text)
    line = refused("train", "--config", folder / "config.yaml")
    assert "config.yaml is read by this run as well, which would be lost. Write to another place" in line
    assert (folder / "config.yaml").read_text() == text


def test_an_output_that_is_the_data(refused, data):
    line = refused("train", "--data", data, "--output", data)
    assert "dataset.yaml lies in" in line


def test_folders_with_names_of_all_kinds(run_cli, data, tmp_path):
    """Escape sequences, letters that are no Unicode, and a name that is too long."""
    arguments = ("--height", 64, "--width", 96, "--threads", 1, "--device", "cpu", "--epochs", 1)
    odd = tmp_path / os.fsdecode(b"caf\xe9 \x1b[31m")
    data.rename(odd)
    done = run_cli("train", "--data", odd, "--output", tmp_path / "run", *arguments)
    assert done.rc == 0, done.stderr
    _, spec = load_network(tmp_path / "run" / "model.pt")
    assert spec.data == "caf\ufffd \ufffd[31m, split train"
    for name, message in ((odd.name, "is not UTF-8. Choose another output"), ("x" * 300, "of at most 255 bytes")):
        done = run_cli("train", "--data", odd, "--output", tmp_path / name, *arguments)
        assert (done.rc, len(done.stderr.splitlines())) == (2, 1)
        assert message in done.stderr
