"""``edgeseg data convert`` from outside."""

from __future__ import annotations

from dataset_exports import coco, voc

from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.dataset_format import DATASET_FORMATS


def test_a_data_set_is_written_and_told(run_cli, tmp_path):
    folder = voc(tmp_path / "voc").folder
    done = run_cli("data", "convert", folder, tmp_path / "new")
    assert done.rc == 0
    assert done.stdout == f"{tmp_path / 'new' / 'dataset.yaml'}: 21 classes, splits train, val\n"
    assert "is read as voc" in done.stderr
    assert "convert: 3/3" in done.stderr
    assert len(Dataset.load(tmp_path / "new").split("train").samples()) == 2


def test_the_format_may_be_said(run_cli, tmp_path):
    folder = coco(tmp_path / "coco").folder
    assert run_cli("data", "convert", folder, tmp_path / "new", "--format", "coco").rc == 0
    done = run_cli("data", "convert", folder, tmp_path / "other", "--format", "voc")
    assert (done.rc, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeseg: error: ")
    assert done.stderr.count("\n") == 1
    assert "there is no list in" in done.stderr


def test_the_help_names_every_format(run_cli):
    done = run_cli("data", "convert", "--help")
    words = " ".join(done.stdout.replace("│", " ").split())
    assert ", ".join(DATASET_FORMATS.own_names) in words
    assert "edgeseg data convert export my_data --format coco" in words
