"""``edgeseg data predict`` from outside."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.data.soft_labels import STEPS_PER_NAT, SoftLabels


def test_a_split_becomes_soft_labels_and_a_folder_label_files(run_cli, convnet, convnet_data, tmp_path):
    done = run_cli("data", "predict", convnet, "--data", convnet_data, "--split", "val", "--output", tmp_path / "soft")
    assert done.rc == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'soft'}: 4 pictures, 0.")
    assert "predict: 4/4" in done.stderr
    assert SoftLabels.open(tmp_path / "soft").read("3").shape == (3, 4, 6)
    images = convnet_data / "val" / "images"
    done = run_cli("data", "predict", convnet, "--source", images, "--labels", "--output", tmp_path / "masks")
    assert done.rc == 0, done.stderr
    assert "100.0 % of the pixels have a label" in done.stdout
    for index in range(4):
        truth = np.asarray(Image.open(convnet_data / "val" / "labels" / f"{index}.png"))
        assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / f"{index}.png")), truth)


def test_the_mean_with_the_mirror_image_is_kept(run_cli, convnet, convnet_data, tmp_path):
    given = (convnet, "--data", convnet_data, "--split", "val")

    def read(name):
        return np.exp(-SoftLabels.open(tmp_path / name).read("3") / STEPS_PER_NAT)

    for name, flags in (("plain", ()), ("mean", ("--flip",))):
        done = run_cli("data", "predict", *given, *flags, "--output", tmp_path / name)
        assert done.rc == 0, done.stderr
    image = np.asarray(Image.open(convnet_data / "val" / "images" / "3.png"))
    Image.fromarray(np.ascontiguousarray(image[:, ::-1])).save(tmp_path / "3.png")
    done = run_cli("data", "predict", convnet, "--source", tmp_path / "3.png", "--output", tmp_path / "mirrored")
    assert done.rc == 0, done.stderr
    mean = (read("plain") + read("mirrored")[..., ::-1]) / 2
    np.testing.assert_allclose(read("mean"), mean, rtol=0.07)  # a step changes a probability by 3 %
    assert np.abs(read("mean") - read("plain")).max() > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there must be one place that pictures come from. Pass --data or --source."),
        (["--data", ".", "--source", "."], "there must be one place"),
        (["--source", ".", "--confidence", "0.5"], "--confidence is for --labels"),
        (["--source", ".", "--scales", "large"], "--scales is 'large'. Give numbers with commas between them"),
        (["--source", "synthetic:?live=1"], "has no end. Pass a folder of images, or a video."),
        (["--source", "nowhere.mp4"], "there is no file nowhere.mp4"),
    ],
)
def test_mistakes_are_one_line(run_cli, convnet, tmp_path, arguments, message):
    done = run_cli("data", "predict", convnet, "--output", tmp_path / "out", *arguments, cwd=tmp_path)
    assert done.rc == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pictures_are_not_written_among(run_cli, convnet, convnet_data):
    folder = convnet_data / "val" / "images"
    done = run_cli("data", "predict", convnet, "--data", convnet_data, "--split", "val", "--output", folder)
    assert done.rc == 2
    assert "val" in done.stderr


def test_help_names_the_verbs(run_cli):
    done = run_cli("data", "--help")
    assert done.rc == 0
    assert "predict" in done.stdout
    assert "edgeseg data predict" in done.stdout
