"""Pictures without labels: from where, in which views, and that a run learns from them and goes on as if not killed."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from quick_training import QUICK

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, EdgesegError, InputError
from edgeseg.train.batches import Batches
from edgeseg.train.loop import Trainer
from edgeseg.train.unlabelled import UNKNOWN, UnlabelledFrames, UnlabelledViews, Views, open_unlabelled, strong_view

SIZE = (64, 96)
FRAMES = 11


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Frames of 48x32, each brighter than the one before."""
    path = tmp_path_factory.mktemp("video") / "drive.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for index in range(FRAMES):
            image = np.full((32, 48, 3), 20 * (index + 1), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def half(shapes, tmp_path_factory):
    """``shapes`` with four labelled pictures; the other eight lie in a folder, and in a split that has their tags."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "more").mkdir()
    lines = []
    for index in range(4, 12):
        name = f"{index:02}.png"
        Image.open(shapes / "train" / "images" / name).save(folder / "more" / name)
        classes = np.unique(np.asarray(Image.open(shapes / "train" / "labels" / name)))
        lines.append(",".join([name, *(("ground", "box", "disc")[one] for one in classes)]))
    (folder / "tags.csv").write_text("\n".join(lines))
    dataset = yaml.safe_load((shapes / "dataset.yaml").read_text())
    for split in dataset["splits"].values():
        split.update({kind: str(shapes / split[kind]) for kind in ("images", "labels")})
    dataset["splits"]["train"]["include"] = ["00*", "01*", "02*", "03*"]
    dataset["splits"]["seen"] = {"images": "more", "tags": "tags.csv"}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    return folder


def config_for(half, **changes):
    return replace(QUICK, data=half, **{"batch_size": 2, "unlabelled_ratio": 2, "confidence": 0.6, **changes})


def test_frames_of_a_video_are_kept_as_they_come(video):
    frames = UnlabelledFrames(video, SIZE, 3)
    assert len(frames) == FRAMES
    brightness = [frames[index][0].float().mean().item() for index in range(FRAMES)]
    assert brightness == pytest.approx([20 * (index + 1) for index in range(FRAMES)], abs=4)
    assert frames[0][0].shape == (3, *SIZE)
    assert (frames[0][1] == UNKNOWN).all()


@pytest.mark.parametrize(
    ("most", "kept"), [(1, [0]), (2, [0, 8]), (3, [0, 4, 8]), (6, [0, 2, 4, 6, 8, 10]), (11, None)]
)
def test_of_more_frames_than_fit_evenly_spread_ones_are_kept(video, most, kept):
    frames = UnlabelledFrames(video, SIZE, 3, most_bytes=most * 3 * SIZE[0] * SIZE[1])
    numbers = [round(frames[index][0].float().mean().item() / 20 - 1) for index in range(len(frames))]
    assert numbers == (kept or list(range(FRAMES)))


def views_of(half, seed=3, workers=0, **changes):
    config = config_for(half, **{"tagged_split": "seen", **changes})
    pictures = open_unlabelled(config, Dataset.load(half)).pictures
    batches = Batches(UnlabelledViews(pictures, len(pictures), config), 4, workers=workers, pinned=False, draws=20)
    try:
        return [Views(*batch) for batch in batches.epoch(seed)]
    finally:
        batches.close()


def test_an_epoch_has_as_many_draws_as_are_wanted_and_follows_from_its_seed(half):
    first, again, shared, other = (views_of(half), views_of(half), views_of(half, workers=1), views_of(half, seed=4))
    assert len(first) == 5
    for one, same, from_worker in zip(first, again, shared, strict=True):
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(one, same, from_worker, strict=True))
    assert not torch.equal(first[0].weak, other[0].weak)


def test_views_differ_in_colour_and_not_in_place(half):
    for views in views_of(half, unlabelled_jitter=0.0):
        # without jitter a view is the picture, grey or blurred
        difference = (views.weak.float().mean(1) - views.strong.float().mean(1)).abs().mean(dim=(1, 2))
        assert (difference < 25).all()
    assert any(not torch.equal(views.weak, views.strong) for views in views_of(half))
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    strong = {strong_view(image, 0.5, torch.Generator().manual_seed(seed)).tobytes() for seed in range(8)}
    assert len(strong) == 8


def test_tags_hold_for_views_that_show_the_whole_picture(half):
    picture = torch.zeros(3, *SIZE, dtype=torch.uint8), torch.tensor([1, 0, UNKNOWN], dtype=torch.uint8)

    def tags(**changes):
        views = UnlabelledViews([picture], 1, config_for(half, aspect=1.0, **changes))
        return {tuple(views[0, seed][3].tolist()) for seed in range(10)}

    assert tags(scale_min=0.7, scale_max=1.0) == {(1, 0, UNKNOWN)}
    assert tags(scale_min=1.5, scale_max=1.6) == {(UNKNOWN, 0, UNKNOWN)}  # what is in no picture is in no part of it


def test_a_run_with_them_resumes_on_its_curve(half, video, tmp_path):
    folder = tmp_path / "whole"
    config = config_for(half, network_args={"width": 0.25}, epochs=2, eval_every=2, confidence=0.3)
    config = replace(config, unlabelled=video, tagged_split="seen", scale_max=1.0, aspect=1.0)
    whole, rows = [], []
    Trainer(replace(config, output=folder)).run(on_epoch=whole.append)

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(replace(config, output=tmp_path / "cut")).run(on_epoch=stop)
    Trainer(replace(config, output=tmp_path / "cut")).run(resume=True, on_epoch=rows.append)
    assert {**rows[0], "seconds": 0} == {**whole[1], "seconds": 0}
    assert whole[1]["loss_consistency"] > 0
    assert whole[1]["loss_tags"] > 0
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"loss_cross_entropy", "loss_dice", "loss_aux", "loss_consistency", "loss_tags"} <= set(header)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"unlabelled": "nowhere"}, InputError, "there are no unlabelled pictures nowhere. Name a folder of images"),
        ({"unlabelled": "empty"}, DatasetError, "empty is empty"),
        ({"unlabelled": "text.mp4"}, EdgesegError, r"text\.mp4"),
        ({"tagged_split": "val"}, DatasetError, "has no split 'val' with tags. Use one of seen"),
    ],
)
def test_what_is_no_picture_is_told_before_training(half, tmp_path, monkeypatch, changes, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(error, match=message):
        Trainer(config_for(half, output=tmp_path / "run", **changes))


def test_the_pictures_are_not_written_among(half):
    with pytest.raises(EdgesegError, match="more"):
        Trainer(config_for(half, output=half / "more", unlabelled=half / "more"))
