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

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, EdgesegError, InputError, ModelError, SinkError
from edgeseg.evaluation.evaluate import evaluate
from edgeseg.models.checkpoint import load_network
from edgeseg.segmenter import Segmenter
from edgeseg.train.config import TrainConfig
from edgeseg.train.health import DivergedError
from edgeseg.train.loop import Trainer

NETWORKS = ("fast_scnn", "enet", "edgenet")
"""Of logits at strides 8, 1 and 4; that every network learns is in tests/edgeseg/models."""


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
    assert TrainConfig(**TrainConfig.read(config.output / "config.yaml")) == config


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
    with pytest.raises(InputError, match=r"holds a training run \(last\.pt\)\. Resume it, or choose another output"):
        Trainer(config).run()
    assert (config.output / "model.pt").read_bytes() == before


def test_a_model_without_its_run_is_not_overwritten(finished, tmp_path):
    shutil.copy(finished[1].model, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"holds a training run \(model\.pt\)"):
        Trainer(replace(finished[0], output=tmp_path)).run()
    assert (tmp_path / "model.pt").read_bytes() == finished[1].model.read_bytes()


def test_a_finished_run_resumes_to_what_it_was(finished):
    config, trained, _, _ = finished
    before = (config.output / "model.pt").read_bytes()
    assert Trainer(config).run(resume=True) == trained
    assert (config.output / "model.pt").read_bytes() == before


def test_pictures_without_labels_help_in_another_light(finished, shapes, tmp_path):
    """Towards dusk, of which nothing is labelled."""
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for path in (shapes / split / "images").iterdir():
            image = np.asarray(Image.open(path)) * np.array([0.6, 0.7, 0.8]) + np.array([0, 0, 20])
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / split / path.name)
    dataset = yaml.safe_load((shapes / "dataset.yaml").read_text())
    for split in dataset["splits"].values():
        split.update({kind: str(shapes / split[kind]) for kind in ("images", "labels")})
    dataset["splits"]["val"]["images"] = "val"
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    config = replace(finished[0], data=tmp_path, init=finished[1].model, epochs=5, eval_every=5, confidence=0.7)
    config = replace(config, learning_rate=3e-3, warmup_epochs=0.5, unlabelled_ramp=0.0, color_jitter=0.0)
    alone = Trainer(replace(config, output=tmp_path / "alone")).run()
    more = Trainer(replace(config, output=tmp_path / "more", unlabelled=tmp_path / "train")).run()
    assert more.miou > alone.miou + 0.02


def test_resuming_with_another_recipe_is_refused(finished):
    config = finished[0]
    with pytest.raises(ModelError, match=r"last\.pt was trained with learning_rate=0\.01, not 0\.02"):
        Trainer(replace(config, learning_rate=0.02)).run(resume=True)
    assert TrainConfig.read(config.output / "config.yaml")["learning_rate"] == 0.01


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
    changes = {"data": camvid_like, "init": str(trained.model), "synthetic_scenes": 1, "val_split": "train"}
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
        changes = {"network": network, "init": str(weights), "output": tmp_path / network}
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
    killed.write(tmp_path / "killed.yaml")
    done = run_python(f"""
import os, signal
from pathlib import Path
from edgeseg.train.config import TrainConfig
from edgeseg.train.loop import Trainer
def on_step(epoch, step, steps, loss):
    if (epoch, step) == (3, 2):
        os.kill(os.getpid(), signal.SIGKILL)
Trainer(TrainConfig(**TrainConfig.read(Path({str(tmp_path / "killed.yaml")!r})))).run(on_step=on_step)
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


def copy_of(shapes, folder):
    shutil.copytree(shapes, folder)
    return folder


def relabel(folder, change):
    """Change each label file of a folder by a function of its array."""
    for path in sorted(folder.glob("*.png")):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_figure_of_a_checkpoint_is_the_one_eval_finds(shapes, tmp_path, network):
    """At the label files' own size, which is not the network's, and with or without mixed precision in training."""
    data = copy_of(shapes, tmp_path / "data")
    for path in data.glob("val/*/*.png"):
        with Image.open(path) as image:
            image.resize((250, 170), Image.Resampling.NEAREST).save(path)
    config = replace(QUICK, data=data, output=tmp_path / "run", network=network, epochs=2, eval_every=1, amp="on")
    trained = Trainer(config).run()
    for name in ("model.pt", "best.pt"):
        with Segmenter.open(tmp_path / "run" / name, threads=1) as segmenter:
            measured = evaluate(segmenter, Dataset.load(data), "val").confusion.miou()
            assert segmenter.spec.metrics["val_miou"] == pytest.approx(measured, abs=1e-6), name
    assert trained.miou == rows_of(tmp_path / "run")[-1]["val_miou"]


@pytest.mark.parametrize("changes", [{"learning_rate": 1e12}, {"learning_rate": 1e12, "amp": "on"}])
def test_a_loss_that_is_no_number_ends_the_run_and_what_was_good_stays(shapes, tmp_path, monkeypatch, changes):
    config = replace(QUICK, data=shapes, output=tmp_path / "run", epochs=4, eval_every=1)
    good = Trainer(replace(config, output=tmp_path / "good", epochs=1)).run()
    trainer = Trainer(config)

    def spoil(row):  # as a rate does that is too high for what comes
        object.__setattr__(trainer.config, "learning_rate", changes["learning_rate"])
        kept.update({path.name: path.read_bytes() for path in config.folder.glob("*.pt")})

    kept = {}
    with pytest.raises(DivergedError) as caught:
        trainer.run(on_epoch=spoil)
    told = str(caught.value)
    assert "\n" not in told
    assert "of epoch 2" in told or "after epoch 2" in told
    assert f"{config.folder / 'last.pt'} is the state after epoch 1" in told
    assert f"a learning_rate below 1e+12, starting from init {config.folder / 'model.pt'}" in told
    assert {path.name: path.read_bytes() for path in config.folder.glob("*.pt")} == kept
    assert set(kept) == {"model.pt", "best.pt", "last.pt"}
    assert all(torch.isfinite(value).all() for value in load_network(good.model)[0].state_dict().values())
    assert len(rows_of(config.folder)) == 1


def test_a_rate_that_is_too_high_from_the_start_keeps_nothing(shapes, tmp_path):
    config = replace(QUICK, data=shapes, output=tmp_path / "run", learning_rate=1e30, warmup_epochs=0, amp="on")
    with pytest.raises(DivergedError, match=r"epoch 1.*with a learning_rate below 1e\+30 or amp off\.$"):
        Trainer(config).run()
    assert not list((tmp_path / "run").glob("*.pt"))


def test_averaged_weights_that_are_no_numbers_are_not_kept(shapes, tmp_path):
    """The losses are fine, and so are the weights: the average was poisoned before."""
    trainer = Trainer(replace(QUICK, data=shapes, output=tmp_path / "run", epochs=3, eval_every=1))

    def poison(row):
        with torch.no_grad():
            trainer.averaged_network.classifier[3].bias[0] = float("nan")

    with pytest.raises(DivergedError, match=r"weights are no finite numbers after epoch 2 \(classifier\.3\.bias\)"):
        trainer.run(on_epoch=poison)
    assert (
        load_network(tmp_path / "run" / "model.pt")[1].metrics["val_miou"] == rows_of(tmp_path / "run")[0]["val_miou"]
    )


def test_a_state_of_weights_that_are_no_numbers_is_not_resumed(finished, tmp_path):
    config = replace(finished[0], output=tmp_path)
    state = torch.load(finished[0].folder / "last.pt", weights_only=True)
    state["ema"]["module.classifier.3.bias"][1] = float("inf")
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(ModelError, match=r"last\.pt holds weights that are no finite numbers \(classifier\.3\.bias\)"):
        Trainer(config).run(resume=True)


@pytest.mark.parametrize("key", ["network", "ema", "optimizer", "epoch", "best_miou", "history", "config"])
@pytest.mark.parametrize("value", [None, "x", {}, [], {"a": 1}])
def test_a_state_that_holds_something_else_is_one_line(finished, tmp_path, key, value):
    config = replace(finished[0], output=tmp_path)
    state = torch.load(finished[0].folder / "last.pt", weights_only=True)
    torch.save({**state, key: value}, tmp_path / "last.pt")
    with pytest.raises(EdgesegError, match=r"last\.pt") as caught:
        Trainer(config).run(resume=True)
    assert "\n" not in str(caught.value)


def test_a_start_from_weights_that_are_no_numbers_is_refused(finished, tmp_path):
    config, trained, _, _ = finished
    state = torch.load(trained.model, weights_only=True)
    state["model"]["classifier.3.bias"][1] = float("nan")
    torch.save(state, tmp_path / "start.pt")
    with pytest.raises(ModelError, match=r"start\.pt are not all finite numbers"):
        Trainer(replace(config, init=tmp_path / "start.pt", output=tmp_path / "run")).run()


def test_a_class_that_no_training_picture_shows_is_refused(shapes, tmp_path):
    data = copy_of(shapes, tmp_path / "data")
    relabel(data / "train" / "labels", lambda labels: np.where(labels == 2, 255, labels).astype(np.uint8))
    with pytest.raises(DatasetError, match=r"no pixel of split train of .*dataset\.yaml has class disc\. Label some"):
        Trainer(replace(QUICK, data=data, output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_class_is_nothing_to_learn(shapes, tmp_path):
    data = copy_of(shapes, tmp_path / "data")
    dataset = yaml.safe_load((data / "dataset.yaml").read_text())
    (data / "dataset.yaml").write_text(yaml.safe_dump({**dataset, "names": ["box"], "colors": [[9, 9, 9]]}))
    for split in ("train", "val"):
        relabel(data / split / "labels", lambda labels: np.where(labels == 1, 0, 255).astype(np.uint8))
    with pytest.raises(DatasetError, match="names one class, and there is nothing to tell it from"):
        Trainer(replace(QUICK, data=data, output=tmp_path / "run"))


def test_a_class_that_only_validation_lacks_is_told_and_the_mean_says_of_how_many_it_is(shapes, tmp_path):
    data = copy_of(shapes, tmp_path / "data")
    relabel(data / "val" / "labels", lambda labels: np.where(labels == 2, 255, labels).astype(np.uint8))
    trainer = Trainer(replace(QUICK, data=data, output=tmp_path / "run", epochs=1))
    assert trainer.material.missing == ("disc",)
    trained = trainer.run()
    assert rows_of(tmp_path / "run")[-1]["val_classes"] == trained.classes
    with Segmenter.open(trained.model, threads=1) as segmenter:
        iou = evaluate(segmenter, Dataset.load(data), "val").confusion.iou()
    assert trained.classes == np.isfinite(iou).sum()


@pytest.mark.parametrize("place", [".", "train", "train/images", "val/labels", "link"])
def test_an_output_that_is_or_holds_the_data_is_refused(shapes, tmp_path, place):
    data = copy_of(shapes, tmp_path / "data")
    (data / "link").symlink_to(data / "train" / "labels")
    before = sorted(data.rglob("*"))
    with pytest.raises(SinkError, match=r"which would be lost|lies in"):
        Trainer(replace(QUICK, data=data, output=data / place))
    assert sorted(data.rglob("*")) == before


def test_an_output_beside_the_splits_is_fine(shapes, tmp_path):
    data = copy_of(shapes, tmp_path / "data")
    Trainer(replace(QUICK, data=data, output=data / "runs" / "x"))


@pytest.mark.parametrize("given", ["run/model.pt", "run/../run/best.pt", "link.pt"])
def test_the_checkpoint_a_run_starts_from_is_not_replaced(finished, tmp_path, given):
    (tmp_path / "run").mkdir()
    for name in ("model.pt", "best.pt"):
        shutil.copy(finished[1].model, tmp_path / "run" / name)
    (tmp_path / "link.pt").symlink_to(tmp_path / "run" / "model.pt")
    with pytest.raises(SinkError, match="which would be lost"):
        Trainer(replace(finished[0], init=tmp_path / given, output=tmp_path / "run"))
    assert (tmp_path / "run" / "model.pt").read_bytes() == finished[1].model.read_bytes()


def test_two_runs_do_not_write_into_one_folder(shapes, tmp_path):
    config = replace(QUICK, data=shapes, output=tmp_path / "run", epochs=1)
    refused = []

    def second(row):
        with pytest.raises(SinkError, match=r"another process trains into .*run\. Wait until it is done") as caught:
            Trainer(replace(config, seed=1)).run(resume=True)
        refused.append(caught.value)

    Trainer(config).run(on_epoch=second)
    assert len(refused) == 1


def test_paths_may_be_text(shapes, tmp_path):
    trained = Trainer(replace(QUICK, data=str(shapes), output=str(tmp_path / "run"), epochs=1)).run()
    assert trained.model == tmp_path / "run" / "model.pt"


def test_a_run_of_an_earlier_version_goes_on(shapes, tmp_path):
    """Its schedule had another name, and nobody counted the classes of its mean."""
    config = replace(QUICK, data=shapes, output=tmp_path / "run", epochs=2, eval_every=1)
    Trainer(config).run()
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    state["config"]["schedule"] = "one-cycle"
    del state["config"]["loss"]
    state["config"] |= {"ohem_threshold": 1.0, "dice_weight": 1.0}
    for row in state["history"]:
        del row["val_classes"]
    torch.save(state, tmp_path / "run" / "last.pt")
    assert Trainer(replace(config, schedule="one-cycle")).run(resume=True).classes == 3


def test_what_cannot_be_written_is_one_line_and_the_state_before_stays(shapes, tmp_path, run_python):
    config = replace(QUICK, data=shapes, output=tmp_path / "run", epochs=3, eval_every=1)
    Trainer(replace(config, epochs=3)).run(on_epoch=None)
    before = (tmp_path / "run" / "last.pt").read_bytes()
    done = run_python(f"""
import resource, signal
from pathlib import Path
from edgeseg.models.checkpoint import load_trusted
from edgeseg.train.checkpoint import save_state
from edgeseg.train.config import TrainConfig
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
state = load_trusted(Path({str(tmp_path / "run" / "last.pt")!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
save_state(Path({str(tmp_path / "run")!r}), TrainConfig(data="x"), 4, state)
""")
    assert done.rc == 1
    assert "SinkError" in done.stderr.splitlines()[-1]
    assert "last.pt cannot be written (File too large)" in done.stderr.splitlines()[-1]
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*.part"))


def test_a_run_leaves_the_process_as_it_was(shapes, tmp_path, run_python):
    done = run_python(f"""
import logging, sys
import matplotlib
matplotlib.use("svg")
import torch
torch.manual_seed(4)
expected = torch.rand(2).tolist()
torch.manual_seed(4)
state = lambda: (matplotlib.get_backend(), torch.get_num_threads(), torch.get_default_dtype(),
                 torch.is_grad_enabled(), logging.root.level, logging.root.handlers)
before = state()
from edgeseg.train.loop import Trainer
from edgeseg.train.config import TrainConfig
Trainer(TrainConfig({str(shapes)!r}, output={str(tmp_path / "run")!r}, height=64, width=96, epochs=1, device="cpu",
                    threads=torch.get_num_threads() + 1)).run()
assert state() == before, (state(), before)
assert torch.rand(2).tolist() == expected
assert "matplotlib.pyplot" not in sys.modules
""")
    assert done.rc == 0, done.stderr


def test_a_class_that_one_part_does_not_tell_apart_is_learned_from_the_other(shapes, tmp_path):
    """Of the first data set boxes and discs are called shapes alone; a handful of pictures of the second says which."""
    described = yaml.safe_load((shapes / "dataset.yaml").read_text())
    for split in ("train", "val"):
        described["splits"][split] = {kind: str(shapes / split / kind) for kind in ("images", "labels")}
    described["splits"]["train"]["include"] = ["0[0-3].png"]
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "dataset.yaml").write_text(yaml.safe_dump(described))
    described["names"], described["colors"] = ["ground", "thing", "other"], [[0, 0, 0], [9, 9, 9], [5, 5, 5]]
    described["splits"]["train"]["include"] = ["0[4-9].png", "1*"]
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(described))
    both = {"thing": ["box", "disc"], "other": ["box", "disc"]}
    parts = [{"data": "few"}, {"data": "dataset.yaml", "map": both, "splits": ["train"]}]
    joined = {"format": "joined", "names": ["ground", "box", "disc"], "parts": parts}
    (tmp_path / "joined.yaml").write_text(yaml.safe_dump(joined))
    trainer = Trainer(replace(QUICK, data=tmp_path / "joined.yaml", output=tmp_path / "run"))
    assert len(trainer.material.train_set) == 12
    assert trainer.run().miou > 0.7
    assert float(rows_of(tmp_path / "run")[-1]["loss_union"]) < 0.3
