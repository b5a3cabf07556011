"""Several processes train as one does, on the same batches; when one is lost, all end, and one tells why."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml

from edgeseg.train.distributed import SILENT_S, Group, Watch

SUPPORT = Path(__file__).parents[2] / "support"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found and ended by Linux's means")


def torchrun(*command, processes=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launcher, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def train_together(processes, *arguments):
    """``trains_together`` to its end; what it left."""
    script = SUPPORT / "trains_together.py"
    if processes == 1:
        done = subprocess.run(
            [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    else:
        run = torchrun(script, *arguments, processes=processes)
        out, _ = run.communicate()
        assert run.returncode == 0, out
    return torch.load(Path(arguments[1]) / "told.pt"), miou_of(Path(arguments[1]))


def miou_of(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [(float(row["train_loss"]), float(row["val_miou"])) for row in csv.DictReader(file)]


def assert_equal(told, others):
    assert told.keys() == others.keys()
    assert told["losses"] == pytest.approx(others["losses"], rel=1e-9)
    for name, value in told.items():
        if name != "losses":
            torch.testing.assert_close(value, others[name], rtol=1e-7, atol=1e-7, msg=name)


def test_two_processes_take_the_curve_of_one_and_go_on_with_each_others_runs(shapes, tmp_path):
    """Losses, weights, statistics and figures; one ends after an epoch, and two go on with it."""
    alone, figures = train_together(1, shapes, tmp_path / "alone", "start")
    together, same_figures = train_together(2, shapes, tmp_path / "together", "start")
    assert_equal(alone, together)
    assert_near(figures, same_figures)
    resumed, resumed_figures = train_together(2, shapes, tmp_path / "alone-begun", "resume")
    assert_equal({**alone, "losses": alone["losses"][3:]}, resumed)
    assert_near(figures, resumed_figures)


def assert_near(figures, others):
    for row, other in zip(figures, others, strict=True):
        assert row == pytest.approx(other, rel=1e-9)


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
        if line.startswith("epoch 1/"):
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
