"""Batches from processes of their own are those from none; what goes wrong there is one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_training import QUICK

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError
from edgeseg.train.augment import Augmented
from edgeseg.train.batches import Batches
from edgeseg.train.data import SplitTensors


def batches_of(data, workers, split="train"):
    samples = SplitTensors(Dataset.load(data), split, (64, 96))
    return Batches(Augmented(samples, len(samples), replace(QUICK, data=data)), 4, workers=workers, pinned=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_it_does_not_matter_who_prepares_them(shapes, workers):
    alone, shared = batches_of(shapes, 0), batches_of(shapes, workers)
    assert len(alone) == len(shared) == 3
    for seed in (7, 8):
        for (images, labels), (others, other_labels) in zip(alone.epoch(seed), shared.epoch(seed), strict=True):
            assert torch.equal(images, others)
            assert torch.equal(labels, other_labels)


def test_another_seed_is_another_epoch_and_the_same_seed_the_same(shapes):
    batches = batches_of(shapes, 0)
    first, other, again = ([images for images, _ in batches.epoch(seed)] for seed in (1, 2, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_random_numbers_of_the_network_are_not_touched(shapes):
    batches = batches_of(shapes, 0)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    list(batches.epoch(1))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_is_one_line_from_whichever_process(shapes, tmp_path, workers):
    shutil.copytree(shapes, tmp_path / "data")
    (tmp_path / "data" / "train" / "images" / "07.png").write_bytes(b"hello")
    with pytest.raises(DatasetError, match=r"07\.png") as caught:
        list(batches_of(tmp_path / "data", workers).epoch(1))
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


BEGINNING = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {support!r})
from quick_training import QUICK
import edgeseg.train.data
edgeseg.train.data.CACHE_BYTES = 0  # so that processes read the pictures
from edgeseg.train.loop import Trainer
trainer = Trainer(replace(QUICK, data={data!r}, output={output!r}, epochs={epochs}, threads=2))
"""

KILLED = """
def kill(*step):
    for worker in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.kill(int(worker), signal.SIGKILL)
trainer.run(on_step=kill)
"""

LITTLE = """
from edgeseg.train.machine import shared_memory_bytes
assert shared_memory_bytes() <= 1 << 17
print(trainer.material.supply("cpu")._labelled._loader.num_workers)
print(trainer.run().model)
"""


def beginning(data, output, epochs):
    support = Path(__file__).parents[2] / "support"
    return BEGINNING.format(support=str(support), data=str(data), output=str(output), epochs=epochs)


@pytest.mark.skipif(sys.platform != "linux", reason="lists a process's children in /proc")
def test_a_process_that_is_killed_is_one_line(shapes, tmp_path, run_python):
    done = run_python(beginning(shapes, tmp_path / "run", 10_000) + KILLED)
    assert done.rc == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("edgeseg.errors.DeviceError: a process that prepares pictures ended (")
    assert "Free memory, or in a container allow more shared memory" in last


def test_little_shared_memory_is_no_hindrance(shapes, tmp_path):
    """As in a container, but less: the processes would be killed by SIGBUS."""
    code = beginning(shapes, tmp_path / "run", 1) + LITTLE
    script = 'mount -t tmpfs -o size=128k none /dev/shm && exec "$0" -c "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, sys.executable, code]
    probe = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/dev/shm"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs mounts of one's own (unshare)")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0", str(tmp_path / "run" / "model.pt")]
