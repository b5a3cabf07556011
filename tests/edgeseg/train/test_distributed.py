"""Several processes train as one does, on the same batches; when one is lost, all end, and one tells why."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import trains_together
import yaml
from quick_training import QUICK

from edgeseg.data.dataset import Dataset
from edgeseg.data.soft_labels import SoftLabels
from edgeseg.errors import InputError
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.train.distributed import SILENT_S, Group, Watch
from edgeseg.train.loop import Trainer
from edgeseg.train.world import ALONE, World, set_world

SUPPORT = Path(__file__).parents[2] / "support"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found and ended by Linux's means")


def torchrun(*command, processes=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launcher, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


PLAIN = {
    "loss": "ohem(0.5) + dice + lovasz(0.5) + boundary(0.2) + balanced(0.3) + distil(0.5)",
    "network_args": {"width": 0.25},
    "batch_size": 6,
}
FROZEN = {
    "network": "edgenet",
    "network_args": {"backbone": "mobilenet_v3_small", "channels": 16},
    "freeze_backbone": 1,
    "backbone_rate": 0.5,
    "clip_grad_norm": 1.0,
    "batch_size": 6,
    "accumulate": 2,
}


@pytest.fixture(scope="module")
def taught(shapes, tmp_path_factory):
    """What somebody said of the pictures of ``shapes``."""
    soft = SoftLabels(tmp_path_factory.mktemp("taught") / "soft", Dataset.load(shapes).names, (8, 12))
    soft.begin()
    rng = np.random.default_rng(0)
    for sample in Dataset.load(shapes).split("train").samples():
        soft.write(sample.image.stem, rng.normal(0, 2, (3, 8, 12)).astype(np.float32))
    return soft.folder


@pytest.fixture(scope="module")
def told(shapes, taught, tmp_path_factory):
    """What runs told by their names: those of one process, and of two, which are started once for all."""
    folder = tmp_path_factory.mktemp("runs")

    def changes(kind, name):
        return {**kind, "data": str(shapes), "output": str(folder / name)}

    plain = {**PLAIN, "teacher": str(taught)}
    frozen = {**FROZEN, "init": str(folder / "backbone.pth")}
    torch.save(build_backbone("mobilenet_v3_small").state_dict(), frozen["init"])
    with trains_together.twice_the_digits():
        trains_together.train(changes(plain, "alone"))
        trains_together.train(changes(frozen, "frozen-alone"))
    together = [
        (changes(plain, "together"), False),
        (changes(plain, "alone-begun"), True),
        (changes(frozen, "frozen-together"), False),
    ]
    (folder / "runs.json").write_text(json.dumps(together))
    run = torchrun(SUPPORT / "trains_together.py", folder / "runs.json")
    out, _ = run.communicate()
    assert run.returncode == 0, out
    assert "Grad strides" not in out
    names = ("alone", "frozen-alone", "together", "alone-begun", "frozen-together")
    return {name: (torch.load(folder / name / "told.pt"), miou_of(folder / name)) for name in names}


def miou_of(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [(float(row["train_loss"]), float(row["val_miou"] or 0)) for row in csv.DictReader(file)]


def assert_equal(run, other):
    told, figures = run
    others, other_figures = other
    assert told.keys() == others.keys()
    assert told["losses"] == pytest.approx(others["losses"], rel=1e-9)
    for name, value in told.items():
        if name != "losses":
            torch.testing.assert_close(value, others[name], rtol=1e-7, atol=1e-7, msg=name)
    for row, other_row in zip(figures, other_figures, strict=True):
        assert row == pytest.approx(other_row, rel=1e-9)


def test_two_processes_take_the_curve_of_one(told):
    """Losses, weights, statistics and figures."""
    assert_equal(told["alone"], told["together"])


def test_two_processes_go_on_with_the_run_of_one(told):
    alone, figures = told["alone"]
    assert len(alone["losses"]) == 4
    assert_equal(({**alone, "losses": alone["losses"][2:]}, figures), told["alone-begun"])


def test_two_processes_leave_a_backbone_as_one_does_and_add_up_batches(told):
    assert_equal(told["frozen-alone"], told["frozen-together"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unlabelled": "train/images"}, "pictures without labels are learned from in one process"),
        ({"tagged_split": "seen"}, "pictures without labels are learned from in one process"),
    ],
)
def test_what_one_process_alone_can_do(shapes, tmp_path, changes, message):
    set_world(World(size=2))
    try:
        with pytest.raises(InputError, match=f"{message}. Start it without torchrun"):
            Trainer(replace(QUICK, data=shapes, output=tmp_path / "run", **changes))
    finally:
        set_world(ALONE)


@pytest.fixture
def config(shapes, tmp_path):
    settings = {"data": str(shapes), "height": 64, "width": 96, "batch_size": 4, "device": "cpu", "threads": 1}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**settings, "epochs": 1000, "eval_every": 1000, "output": str(tmp_path / "run")}))
    return path


def told_by(out):
    return [line for line in out.splitlines() if line.startswith("edgeseg:")]


def test_where_one_is_killed_the_others_end_with_one_line(config):
    """The first, on which the others lean most."""
    run = torchrun("-m", "edgeseg", "train", "--config", config)
    for line in run.stdout:
        if line.startswith("epoch 2/"):  # the other has done the first by then, too
            break
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    (told,) = told_by(run.communicate()[0])
    assert re.search("another of the 2 processes ended|interrupted after epoch", told)
    assert "resume" in told
    assert run.returncode == 1


def test_what_is_wrong_is_told_once(config):
    run = torchrun("-m", "edgeseg", "train", "--config", config, "--batch-size", 3)
    out, _ = run.communicate()
    assert told_by(out) == [
        "edgeseg: error: batches of 3 images cannot be shared evenly by 2 processes. Set batch_size to a multiple of 2."
    ]
    assert run.returncode == 1


@pytest.fixture
def groups():
    """Two processes' ends of one store."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=30))
    yield [Group(rank, 2, store.clone()) for rank in (0, 1)]
    del store


def test_one_alone_tells(groups):
    assert groups[1].tells()
    assert not groups[0].tells()
    assert not groups[1].tells()


def test_a_process_without_a_sign_of_life_is_lost(groups):
    first, second = (Watch(group, sys.exit) for group in groups)
    second.look(0.0)
    assert first.look(1.0) is None
    assert first.look(SILENT_S) is None
    second.look(SILENT_S)
    assert first.look(1.5 * SILENT_S) is None
    assert "process 1 of 2 gives no sign of life" in first.look(2.6 * SILENT_S)


def test_who_hears_that_it_was_told_has_a_while_to_end_by_itself(groups):
    watch = Watch(groups[0], sys.exit)
    assert groups[1].tells()
    assert watch.look(5.0) is None
    assert watch.look(6.0) is None
    assert watch.look(60.0) == ""
