"""``edgeseg train`` ended by a signal, whenever it comes: one line, the right exit code, whole files and no process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch", reason="training needs torch; pip install 'edgeseg[train]'")
if sys.platform != "linux":
    pytest.skip("looks at processes in /proc", allow_module_level=True)

from edgeseg.models.checkpoint import load_network, load_trusted

GUARD_S = 120
"""Against hanging alone."""

MAIN = """
import sys
import edgeseg.train.data
edgeseg.train.data.CACHE_BYTES = {cache}
import edgeseg.cli
edgeseg.cli.main()
"""


def start_fresh(words, cwd, stdout, stderr, cache=1 << 30):
    """As the command does, with all that a start loads; as ``WarmEdgeseg.start`` without that."""
    with open(stdout, "w") as out, open(stderr, "w") as err:
        return subprocess.Popen(
            [sys.executable, "-c", MAIN.format(cache=cache), *words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dataset of two classes, side by side, in pictures of noise."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 96), np.uint8)
    labels[:, 48:] = 1
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for name in "abcd":
            Image.fromarray(rng.integers(0, 256, (64, 96, 3), np.uint8)).save(folder / split / "images" / f"{name}.png")
            Image.fromarray(labels).save(folder / split / "labels" / f"{name}.png")
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": ["left", "right"], "splits": splits}))
    return folder


class Run:
    """``edgeseg train`` in a process group of its own, for very long."""

    def __init__(self, start, data, output, *more):
        arguments = ["train", "--data", data, "--output", output, "--epochs", 100_000, "--eval-every", 1, *more]
        arguments += ["--height", 64, "--width", 96, "--batch-size", 2, "--device", "cpu"]
        self.output = output
        self._stdout, self._stderr = (output.with_name(f"{output.name}.{name}") for name in ("stdout", "stderr"))
        self.process = start([str(argument) for argument in arguments], output.parent, self._stdout, self._stderr)

    def stdout(self):
        return self._stdout.read_text()

    def end(self, number):
        """Signal the whole group, as a terminal does; the exit code and what was said of it."""
        os.killpg(self.process.pid, number)
        return self.process.wait(), self._stderr.read_text()

    def wait_until(self, condition):
        deadline_s = time.monotonic() + GUARD_S
        while not condition(self):
            assert self.process.poll() is None, self._stderr.read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.001)

    def listens(self):
        """Whether SIGTERM has a handler."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def has_loaded(self, library):
        return library in Path(f"/proc/{self.process.pid}/maps").read_text()

    def children(self):
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def has_kept(self, name):
        return (self.output / name).exists()

    def is_writing(self):
        return any(self.output.glob(".*.part"))


STARTING = {
    "it listens": lambda run: run.listens(),
    "torch loads": lambda run: run.listens() and run.has_loaded("libtorch_cpu"),
    "matplotlib loads": lambda run: run.listens() and run.has_loaded("ft2font"),
}
WORKING = {
    "the folder is there": lambda run: run.output.exists(),
    "the first epoch": lambda run: run.has_kept("config.yaml"),
    "a file is being written": lambda run: run.output.exists() and run.is_writing(),
    "an epoch is kept": lambda run: run.has_kept("last.pt"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("moment", [*STARTING, *WORKING])
def test_a_signal_ends_it_whenever_it_comes(data, tmp_path, warm_edgeseg, moment, number):
    start = start_fresh if moment in STARTING else warm_edgeseg.start
    run = Run(start, data, tmp_path / "run", "--threads", 1)
    run.wait_until({**STARTING, **WORKING}[moment])
    code, stderr = run.end(number)
    assert code == 128 + number, stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("edgeseg: interrupted")
    assert not run.output.exists() or not run.is_writing()
    if run.has_kept("last.pt"):
        kept = load_trusted(run.output / "last.pt")["epoch"]
        told = f"interrupted after epoch {kept} of 100000; go on with --resume"
        early = f"interrupted after epoch {kept - 1} of 100000" if kept > 1 else "interrupted"  # just about to tell
        assert told in stderr or early in stderr
    if run.has_kept("model.pt"):
        load_network(run.output / "model.pt")


def test_the_processes_that_prepare_pictures_end_with_it(data, tmp_path):
    run = Run(partial(start_fresh, cache=0), data, tmp_path / "run", "--threads", 4)
    run.wait_until(lambda run: run.has_kept("last.pt") and len(run.children()) == 2)
    workers = run.children()
    code, stderr = run.end(signal.SIGINT)
    assert code == 130, stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_what_was_interrupted_goes_on(data, tmp_path, warm_edgeseg):
    run = Run(warm_edgeseg.start, data, tmp_path / "run", "--threads", 1)
    run.wait_until(WORKING["an epoch is kept"])
    run.end(signal.SIGINT)
    done = load_trusted(run.output / "last.pt")["epoch"]
    resumed = Run(warm_edgeseg.start, data, tmp_path / "run", "--threads", 1, "--resume")
    resumed.wait_until(lambda run: re.search(r"^epoch .*\n", run.stdout(), re.MULTILINE))
    assert re.search(r"^epoch (\d+)/100000", resumed.stdout(), re.MULTILINE)[1] == str(done + 1)
    code, _ = resumed.end(signal.SIGTERM)
    assert code == 143


def test_another_process_is_refused_the_same_folder(data, tmp_path, run_cli, warm_edgeseg):
    run = Run(warm_edgeseg.start, data, tmp_path / "run", "--threads", 1)
    run.wait_until(WORKING["an epoch is kept"])
    second = run_cli("train", "--config", run.output / "config.yaml", "--resume")
    run.end(signal.SIGINT)
    assert (second.rc, len(second.stderr.splitlines())) == (2, 1)
    assert f"another process trains into {run.output}. Wait until it is done, or choose another output" in second.stderr
