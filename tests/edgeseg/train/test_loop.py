"""Real training runs on a small dataset: what they learn, what they leave, and that a killed one goes on as if not."""

from __future__ import annotations

import csv
import math
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from quick_training import QUICK
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgeseg.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError, SinkError
from edgeseg.evaluate import evaluate
from edgeseg.models.checkpoint import load_network
from edgeseg.models.registry import NETWORKS
from edgeseg.segmenter import Segmenter
from edgeseg.train.config import TrainConfig, read_config
from edgeseg.train.loop import Trainer


def rows_of(folder):
    """The rows of metrics.csv as numbers; a figure that was not taken is left out."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def finished(shapes, tmp_path_factory):
    """A finished run: its config, what it returned, the steps and the epochs it told of."""
    config = replace(QUICK, data=shapes, output=tmp_path_factory.mktemp("runs") / "shapes")
    steps, epochs = [], []
    trained = Trainer(config).run(on_step=lambda *step: steps.append(step), on_epoch=epochs.append)
    return config, trained, steps, epochs


def test_it_learns(finished):
    config, trained, _, _ = finished
    rows = rows_of(config.output)
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert trained.miou > 0.6  # labelling everything as ground would reach 0.27
    assert trained.best_miou >= trained.miou


def test_it_tells_of_each_step_and_each_epoch(finished):
    config, _, steps, epochs = finished
    assert [step[:3] for step in steps] == [(epoch, step, 3) for epoch in range(1, 13) for step in range(1, 4)]
    assert all(math.isfinite(loss) for *_, loss in steps)
    assert rows_of(config.output) == epochs
    assert [row["epoch"] for row in epochs] == list(range(1, 13))
    assert [row["epoch"] for row in epochs if "val_miou" in row] == [4, 8, 12]
    mean_of_first = sum(loss for *_, loss in steps[:3]) / 3
    assert epochs[0]["train_loss"] == pytest.approx(mean_of_first)
    assert max(row["learning_rate"] for row in epochs) == pytest.approx(1e-2, rel=0.1)
    assert epochs[-1]["learning_rate"] < 1e-3


def test_the_config_it_leaves_repeats_the_run(finished):
    config = finished[0]
    assert TrainConfig(**read_config(config.output / "config.yaml")) == config


def test_it_leaves_pictures_and_events(finished):
    config = finished[0]
    for name in ("curves.png", "confusion.png"):
        with Image.open(config.output / name) as picture:
            assert len(picture.convert("L").getcolors()) > 10
    events = EventAccumulator(str(config.output / "tensorboard"))
    events.Reload()
    rows = rows_of(config.output)
    assert set(events.Tags()["scalars"]) == set(rows[-1]) - {"epoch"}
    losses = events.Scalars("train_loss")
    assert [event.step for event in losses] == list(range(1, 13))
    assert [event.value for event in losses] == pytest.approx([row["train_loss"] for row in rows])


@pytest.mark.parametrize("name", ["model.pt", "best.pt"])
def test_the_models_it_leaves_reach_the_figure_they_carry(finished, name):
    config, trained, _, epochs = finished
    path = config.output / name
    expected = trained.miou if name == "model.pt" else max(row.get("val_miou", 0) for row in epochs)
    with Segmenter.open(path, threads=1) as segmenter:
        spec = segmenter.spec
        measured = evaluate(segmenter, Dataset.load(config.data), "val").confusion.miou()
    assert spec.metrics["val_miou"] == expected
    assert measured == pytest.approx(expected, abs=2e-3)
    assert spec.class_names == ("ground", "box", "disc")
    assert spec.colors == ((90, 60, 60), (200, 50, 50), (50, 180, 70))
    assert (spec.network, spec.input_size, spec.stride, spec.output) == ("fast_scnn", (64, 96), 8, "logits")
    assert spec.metrics["parameters"] == sum(p.numel() for p in load_network(path)[0].parameters())
    assert spec.metrics["macs"] > 0


def test_a_folder_that_holds_a_run_is_not_overwritten(finished):
    config = finished[0]
    before = (config.output / "model.pt").read_bytes()
    with pytest.raises(InputError, match=r"holds a training run\. Resume it, or choose another output"):
        Trainer(config).run()
    assert (config.output / "model.pt").read_bytes() == before


def test_a_finished_run_resumes_to_what_it_was(finished):
    config, trained, _, _ = finished
    before = (config.output / "model.pt").read_bytes()
    assert Trainer(config).run(resume=True) == trained
    assert (config.output / "model.pt").read_bytes() == before


def test_resuming_with_another_recipe_is_refused(finished):
    config = finished[0]
    with pytest.raises(ModelError, match=r"last\.pt was trained with learning_rate=0\.01, not 0\.02"):
        Trainer(replace(config, learning_rate=0.02)).run(resume=True)
    assert read_config(config.output / "config.yaml")["learning_rate"] == 0.01


def test_resuming_with_other_classes_is_refused(finished, tmp_path):
    config = finished[0]
    dataset = yaml.safe_load((config.data / "dataset.yaml").read_text())
    for split in dataset["splits"].values():
        split.update({kind: str(config.data / folder) for kind, folder in split.items()})
    dataset["names"].append("ring")
    dataset["colors"].append([0, 0, 200])
    shutil.copytree(config.data / "train" / "labels", tmp_path / "labels")
    Image.fromarray(np.full((64, 96), 3, np.uint8)).save(tmp_path / "labels" / "00.png")
    dataset["splits"]["train"]["labels"] = "labels"
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    with pytest.raises(ModelError, match="with the 4 classes of"):
        Trainer(replace(config, data=tmp_path)).run(resume=True)


def test_there_must_be_something_to_resume(shapes, tmp_path):
    with pytest.raises(ModelError, match=r"there is no .*last\.pt to resume from.*Start without resume"):
        Trainer(replace(QUICK, data=shapes, output=tmp_path / "new")).run(resume=True)


def test_an_output_that_cannot_be_a_folder(shapes, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match=r"file cannot be written"):
        Trainer(replace(QUICK, data=shapes, output=tmp_path / "file")).run()


@pytest.mark.parametrize("changes", [{"network": "enet", "height": 60}, {"network": "enet", "crop_width": 90}])
def test_sizes_the_network_cannot_take_are_refused_before_training(shapes, tmp_path, changes):
    with pytest.raises(InputError, match="multiples of 8"):
        Trainer(replace(QUICK, data=shapes, output=tmp_path, **changes))


def test_a_run_starts_from_the_weights_of_one_with_other_classes(finished, camvid_like, tmp_path):
    config, trained, _, _ = finished
    start, _ = load_network(trained.model)
    changes = {"data": camvid_like, "weights": str(trained.model), "synthetic_scenes": 1, "val_split": "train"}
    standing_still = {"output": tmp_path, "epochs": 1, "learning_rate": 1e-12}
    ours, _ = load_network(Trainer(replace(config, **changes, **standing_still)).run().model)
    theirs = dict(start.named_parameters())
    for name, weights in ours.named_parameters():
        if name.startswith("classifier.3"):
            assert weights.shape[0] == 11
        else:
            torch.testing.assert_close(weights, theirs[name], rtol=0, atol=1e-6, msg=name)


def test_weights_of_another_network_or_none_are_refused(finished, tmp_path):
    config, trained, _, _ = finished
    for weights, network, message in (
        (trained.model, "enet", r"model\.pt is a fast_scnn.*Set network to fast_scnn"),
        (tmp_path / "gone.pt", "fast_scnn", r"there is no checkpoint .*gone\.pt"),
    ):
        changes = {"network": network, "weights": str(weights), "output": tmp_path / network}
        with pytest.raises(ModelError, match=message):
            Trainer(replace(config, **changes)).run()


def test_one_image_a_batch_is_refused(shapes, tmp_path):
    with pytest.raises(DatasetError, match="batches of one image"):
        Trainer(replace(QUICK, data=shapes, output=tmp_path, batch_size=1))


def test_a_device_that_is_not_there(shapes):
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{device}' cannot be used"):
            Trainer(replace(QUICK, data=shapes, device=device))


@pytest.mark.parametrize("network", NETWORKS)
def test_mixed_precision_on_the_cpu_stays_finite(shapes, tmp_path, network):
    config = replace(QUICK, data=shapes, output=tmp_path, network=network, amp="on", epochs=1, loss_stride=1)
    trained = Trainer(config).run()
    assert math.isfinite(rows_of(tmp_path)[0]["train_loss"])
    assert all(torch.isfinite(p).all() for p in load_network(trained.model)[0].state_dict().values())


def test_a_killed_run_goes_on_as_if_it_had_not_been(shapes, tmp_path, run_python, run_cli):
    config = replace(QUICK, data=shapes, output=tmp_path / "whole", epochs=4, eval_every=1, color_jitter=0.4)
    Trainer(config).run()
    killed = replace(config, output=tmp_path / "killed")
    killed.save(tmp_path / "killed.yaml")
    done = run_python(f"""
import os, signal
from pathlib import Path
from edgeseg.train.config import TrainConfig, read_config
from edgeseg.train.loop import Trainer
def on_step(epoch, step, steps, loss):
    if (epoch, step) == (3, 2):
        os.kill(os.getpid(), signal.SIGKILL)
Trainer(TrainConfig(**read_config(Path({str(tmp_path / "killed.yaml")!r})))).run(on_step=on_step)
""")
    assert done.rc == -signal.SIGKILL
    assert [row["epoch"] for row in rows_of(killed.output)] == [1, 2]

    done = run_cli("train", "--config", tmp_path / "killed.yaml", "--resume")
    assert done.rc == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("epoch ")] == ["3/4", "4/4"]
    for ours, whole in zip(without_time(rows_of(killed.output)), without_time(rows_of(config.output)), strict=True):
        assert ours == pytest.approx(whole, rel=1e-6)
    (ours, spec), (whole, whole_spec) = (load_network(run.output / "model.pt") for run in (killed, config))
    assert spec.metrics == pytest.approx(whole_spec.metrics)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)
