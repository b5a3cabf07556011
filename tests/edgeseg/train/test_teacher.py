"""Taught by a model: asked anew, or by what it said before; in one place what it says is where the pixels are."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from quick_training import QUICK

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, EdgesegError, InputError, ModelError
from edgeseg.evaluation.predict import pictures_of, predict_probabilities
from edgeseg.models.checkpoint import save_network
from edgeseg.models.registry import build
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.train.augment import Augmented
from edgeseg.train.batches import Batches
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors
from edgeseg.train.loop import Trainer
from edgeseg.train.teacher import LiveTeacher, open_teacher

NAMES = ("red", "green", "blue")


def write_blobs(folder, low, high):
    """Smooth pictures of 96x64, of values between two, whose brightest channel is their class.

    Of those for training the right half has no label, and blue hardly any. ``tiny_onnx`` knows them: its logits are the
    channels themselves.
    """
    rng = np.random.default_rng(3)
    for split, count in (("train", 8), ("val", 4)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            coarse = Image.fromarray(rng.integers(low, high, (4, 6, 3), dtype=np.uint8))
            image = np.asarray(coarse.resize((96, 64), Image.Resampling.BICUBIC))
            labels = image.argmax(axis=2).astype(np.uint8)
            if split == "train":
                labels[:, 48:] = 255
                labels[labels == 2] = 255
                labels[:4, :4] = 2
            Image.fromarray(image).save(folder / split / "images" / f"{index}.png")
            Image.fromarray(labels).save(folder / split / "labels" / f"{index}.png")
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": list(NAMES), "splits": splits}))
    return folder


def record(data, teacher, folder):
    with Segmenter.open(teacher, threads=1) as segmenter:
        predicted = predict_probabilities(segmenter, pictures_of(Dataset.load(data), "train"), folder)
    assert predicted.pictures == 8
    return folder


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """Pale pictures, of which the teacher is not sure."""
    return write_blobs(tmp_path_factory.mktemp("blobs"), 118, 138)


@pytest.fixture(scope="module")
def recorded(blobs, tiny_onnx, tmp_path_factory):
    """What ``tiny_onnx`` says of the training pictures."""
    return record(blobs, tiny_onnx, tmp_path_factory.mktemp("recorded") / "soft")


def config_for(blobs, **changes) -> TrainConfig:
    return replace(
        QUICK, data=blobs, **{"network_args": {"width": 0.25}, "color_jitter": 0.0, "aux_weight": 0.0, **changes}
    )


def teach(config, teacher, workers=0):
    """The batches of an epoch with what a teacher says of them."""
    dataset = Dataset.load(config.data)
    samples = SplitTensors(dataset, "train", config.input_size)
    opened = open_teacher(str(teacher), dataset.names, [one.image for one in samples.samples], threads=1)
    augmented = Augmented(samples, len(samples), config, taught=True, soft=opened.soft)
    with closing(opened), closing(Batches(augmented, 4, workers=workers, pinned=False)) as batches:
        for images, labels, *taught in batches.epoch(5):
            yield images, labels, opened(images, *taught)


def test_what_was_said_before_is_what_is_said_now(blobs, tiny_onnx, recorded):
    """Up to what blocks of eight pixels of another crop are, and but for the border, which the crop repeats."""
    config = config_for(blobs, scale_min=1.0, scale_max=1.3, loss_stride=2)
    differences = []
    for (images, _, now), (again, _, before) in zip(teach(config, tiny_onnx), teach(config, recorded), strict=True):
        assert torch.equal(images, again)
        assert torch.equal(now.inside, before.inside)
        assert now.log_probabilities.shape == before.log_probabilities.shape == (4, 3, 32, 48)
        same = now.log_probabilities.argmax(1) == before.log_probabilities.argmax(1)
        differences.append(same[now.inside].float().mean())
        shifted = now.log_probabilities.argmax(1)[..., 4:] == before.log_probabilities.argmax(1)[..., :-4]
        assert shifted.float().mean() < differences[-1] - 0.1  # eight pixels of the picture aside
    assert min(differences) > 0.85


def test_without_a_zoom_it_is_the_same_to_the_step_of_a_byte(blobs, tiny_onnx, recorded):
    config = config_for(blobs, scale_min=1.0, scale_max=1.0, aspect=1.0)
    for (_, _, now), (_, _, before) in zip(teach(config, tiny_onnx), teach(config, recorded), strict=True):
        assert now.inside.all()
        likely = now.log_probabilities > -8
        difference = (now.log_probabilities - before.log_probabilities)[likely].abs()
        assert difference.max() < 1  # pictures are bytes, and so are logits here
        assert difference.mean() < 0.1


def test_it_does_not_matter_who_prepares_them(blobs, recorded):
    config = config_for(blobs)
    for alone, shared in zip(teach(config, recorded), teach(config, recorded, workers=2), strict=True):
        assert torch.equal(alone[2].log_probabilities, shared[2].log_probabilities)
        assert torch.equal(alone[2].inside, shared[2].inside)


def test_colours_change_for_the_student_alone(blobs, recorded):
    plain, coloured = (next(teach(config_for(blobs, color_jitter=jitter), recorded)) for jitter in (0.0, 0.5))
    assert not torch.equal(plain[0], coloured[0])
    assert torch.equal(plain[2].log_probabilities, coloured[2].log_probabilities)


def test_beyond_the_border_nothing_is_taught(blobs, recorded):
    config = config_for(blobs, scale_min=0.5, scale_max=0.5, aspect=1.0, loss_stride=1)
    for _, labels, targets in teach(config, recorded):
        assert targets.inside.float().mean().item() == pytest.approx(0.25, abs=0.02)
        assert (labels[~targets.inside] == 255).all()
        assert (labels[targets.inside] == 255).any()  # and where there is no label, it is


def test_a_student_learns_what_the_labels_do_not_say(tiny_onnx, tmp_path):
    vivid = write_blobs(tmp_path / "vivid", 0, 256)
    recorded = record(vivid, tiny_onnx, tmp_path / "soft")
    config = config_for(vivid, network_args={}, epochs=8, batch_size=2, scale_min=1.0, loss="cross_entropy")
    alone = Trainer(replace(config, output=tmp_path / "alone")).run()
    rows = []
    trainer = Trainer(replace(config, output=tmp_path / "taught", teacher=recorded, loss="cross_entropy + distil(4)"))
    taught = trainer.run(on_epoch=rows.append)
    assert taught.miou > alone.miou + 0.1
    assert rows[-1]["loss_distil"] < 0.6 * rows[0]["loss_distil"]
    assert rows[-1]["train_loss"] == pytest.approx(rows[-1]["loss_distil"] + rows[-1]["loss_cross_entropy"], rel=1e-4)


def test_a_checkpoint_teaches_and_the_loss_is_added(blobs, tmp_path):
    network = build("fast_scnn", 3, {"width": 0.25})
    spec = ModelSpec("fast_scnn", NAMES[::-1], input_size=(32, 64), stride=8, network_args={"width": 0.25})
    save_network(tmp_path / "teacher.pt", network, spec)
    config = config_for(blobs, output=tmp_path / "run", teacher=tmp_path / "teacher.pt", epochs=1)
    assert config.whole_loss == "cross_entropy + dice + distil"
    rows = []
    Trainer(config).run(on_epoch=rows.append)
    assert rows[0]["loss_distil"] > 0


def test_a_run_that_was_taught_resumes_on_its_curve(blobs, recorded, tmp_path):
    config = config_for(blobs, output=tmp_path / "whole", teacher=recorded, epochs=2, eval_every=2)
    whole, rows = [], []
    Trainer(config).run(on_epoch=whole.append)

    def stop(row):
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(replace(config, output=tmp_path / "cut")).run(on_epoch=stop)
    Trainer(replace(config, output=tmp_path / "cut")).run(resume=True, on_epoch=rows.append)
    assert [row["loss_distil"] for row in rows] == [row["loss_distil"] for row in whole[1:]]
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in whole[1:]]


def test_classes_are_found_by_name_and_more_are_left_out(blobs, recorded, tmp_path):
    """A teacher of more classes in another order: what is left of its probabilities is taught."""
    shutil.copytree(recorded, tmp_path / "soft")
    manifest = tmp_path / "soft" / "soft_labels.json"
    manifest.write_text(manifest.read_text().replace('"red"', '"lorry"').replace('"blue"', '"red"'))
    dataset = Dataset.load(blobs)
    images = [one.image for one in dataset.split("train").samples()]
    with pytest.raises(ModelError, match=r"does not know the class blue\. Teach with a model of the same classes"):
        open_teacher(str(tmp_path / "soft"), NAMES, images)
    two = open_teacher(str(tmp_path / "soft"), ("red", "green"), images)
    all_three = open_teacher(str(recorded), NAMES, images)
    assert np.array_equal(two.soft.read(3), all_three.soft.read(3)[[2, 1]])


def test_a_model_of_other_classes_is_refused(shapes, tiny_onnx, tmp_path):
    with pytest.raises(ModelError, match="does not know the classes ground, box, disc"):
        Trainer(replace(QUICK, data=shapes, output=tmp_path, teacher=tiny_onnx))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"loss": "cross_entropy + distil"}, InputError, "the loss distil looks at a teacher, and there is none"),
        ({"loss": "distil", "teacher": "tiny"}, InputError, "no term of loss looks at the labels"),
        ({"teacher": "labels"}, ModelError, "the model returns labels, of which soft labels cannot be made"),
        ({"teacher": "nowhere.onnx"}, ModelError, "nowhere"),
        ({"teacher": "empty"}, DatasetError, "there are no soft labels in .*empty"),
        ({"teacher": "fewer"}, DatasetError, r"no soft labels of 1 of 8 pictures: 3\. Write them for this split"),
    ],
)
def test_what_cannot_teach_is_told_before_training(
    blobs, recorded, tiny_onnx, tiny_labels_onnx, tmp_path, settings, error, message
):
    shutil.copytree(recorded, tmp_path / "fewer")
    (tmp_path / "fewer" / "3.npz").unlink()
    (tmp_path / "empty").mkdir()
    named = {"tiny": tiny_onnx, "labels": tiny_labels_onnx, "empty": tmp_path / "empty", "fewer": tmp_path / "fewer"}
    if "teacher" in settings:
        settings = {**settings, "teacher": named.get(settings["teacher"], settings["teacher"])}
    with pytest.raises(error, match=message):
        Trainer(config_for(blobs, output=tmp_path / "run", **settings))


def test_a_damaged_file_is_told_from_whichever_process(blobs, recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "soft")
    (tmp_path / "soft" / "2.npz").write_bytes(b"hello")
    for workers in (0, 1):
        with pytest.raises(DatasetError, match=r"2\.npz"):
            list(teach(config_for(blobs), tmp_path / "soft", workers))


def test_what_is_no_number_is_not_taught(tiny_onnx):
    class Broken:
        def infer(self, images):
            said = Segmenter.open(tiny_onnx, threads=1).infer(images)
            said[0].output[:] = np.nan
            return said

    teacher = LiveTeacher(Broken(), [0, 1, 2])
    with pytest.raises(EdgesegError, match="no finite number"):
        teacher(torch.zeros(1, 3, 64, 96, dtype=torch.uint8), torch.ones(1, 8, 12, dtype=torch.uint8))


def test_rendered_scenes_are_not_taught_by_what_was_said_of_pictures(recorded, blobs):
    dataset = Dataset.load(blobs)
    samples = SplitTensors(dataset, "train", (64, 96))
    opened = open_teacher(str(recorded), NAMES, [one.image for one in samples.samples])
    more = [samples[index % 8] for index in range(9)]
    _, _, inside, soft = Augmented(more, 9, config_for(blobs), taught=True, soft=opened.soft)[8, 1]
    assert not inside.any()
    assert soft.shape[0] == 3


def test_the_teacher_is_not_written_over(blobs, recorded, tmp_path):
    network = build("fast_scnn", 3, {"width": 0.25})
    (tmp_path / "run").mkdir()
    path = Path(tmp_path / "run" / "model.pt")
    save_network(path, network, ModelSpec("fast_scnn", NAMES, stride=8, network_args={"width": 0.25}))
    with pytest.raises(EdgesegError, match=r"model\.pt"):
        Trainer(config_for(blobs, output=tmp_path / "run", teacher=path))
