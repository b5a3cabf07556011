from __future__ import annotations

import json

import pytest

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec


def test_shipped_models_are_listed_with_their_figures(run_cli):
    shipped = weights.shipped()
    if not shipped:
        pytest.skip("this checkout holds no trained models")
    done = run_cli("models")
    assert done.rc == 0
    for heading in ("model", "for", "classes", "input", "params M", "GMACs", "mIoU %", "MB", "licence"):
        assert heading in done.stdout
    for model in shipped:
        metrics = read_spec(model.path).metrics
        row = next(line for line in done.stdout.splitlines() if line.startswith(model.name)).split()
        assert row[1] == weights.task_of(model.name)
        assert float(row[4]) == pytest.approx(metrics["parameters"] / 1e6, abs=0.005)
        assert float(row[5]) == pytest.approx(metrics["macs"] / 1e9, abs=0.005)
        assert float(row[6]) == pytest.approx(metrics["val_miou"] * 100, abs=0.05)


def test_shipped_models_are_timed_here_and_told_as_json(run_cli):
    shipped = {model.name: model for model in weights.shipped()}
    if not shipped:
        pytest.skip("this checkout holds no trained models")
    done = run_cli("models", "--measure", "--threads", "1", "--json")
    assert done.rc == 0
    listed = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert listed.keys() == shipped.keys()
    for name, entry in listed.items():
        spec = read_spec(shipped[name].path)
        assert entry["ms"] > 0
        assert entry["task"] == weights.task_of(name)
        assert (entry["license"], entry["metrics"]) == (spec.license, spec.metrics)
    done = run_cli("models", "--measure")
    assert "ms here" in done.stdout.splitlines()[0]
    assert "--model street is " in done.stdout


def test_a_model_in_the_folder_is_shipped(run_python, tiny_onnx):
    done = run_python(f"""
import os
from pathlib import Path
os.environ["COLUMNS"] = "200"
from edgeseg import weights
weights.FOLDER = Path({str(tiny_onnx.parent)!r})
from edgeseg.cli.models import models
models()
""")
    row = done.stdout.splitlines()[1].split()
    assert row[:4] == ["tiny", "-", "3", "48x32"]
    assert row[4:7] == ["-", "-", "-"]  # figures that were never measured
    assert row[-1] == "Apache-2.0"


def test_every_network_is_listed_with_its_figures_and_what_it_can_be_made_with(run_cli):
    pytest.importorskip("torch", reason="networks need torch; pip install 'edgeseg[train]'")
    from edgeseg.models.registry import arguments_of, network_names, published

    done = run_cli("models", "--all", "--size", "96x72", "--classes", "5")
    assert done.rc == 0
    heading, *lines = done.stdout.splitlines()
    for column in ("network", "year", "params M", "GMACs", "MB", "stride", "sees px", "paper", "trunk weights"):
        assert column in heading
    assert "fp32 ms" not in heading
    assert "Of 5 classes at 96x72." in lines
    rows = {line.split()[0]: line for line in lines if line}
    for name in network_names():
        assert all(f"{key}={value}" in rows[name] for key, value in arguments_of(name).items())
        assert published(name).paper in rows[name]


def test_networks_that_cannot_take_the_size_are_left_out_of_all_and_refused_by_name(run_cli):
    pytest.importorskip("torch", reason="networks need torch; pip install 'edgeseg[train]'")
    refused = run_cli("models", "erfnet", "--size", "100x60")
    assert refused.rc == 2
    assert "ERFNet cannot take images of 100x60. Give a width and height that are multiples of 8" in refused.stderr


def test_figures_as_json_are_those_that_python_has(run_cli):
    pytest.importorskip("torch", reason="networks need torch; pip install 'edgeseg[train]'")
    from edgeseg.models.figures import figures_of

    done = run_cli("models", "lraspp", "fast_scnn", "--size", "64x32", "--classes", "3", "--json")
    assert done.rc == 0
    row, other = json.loads(done.stdout)
    figures = figures_of("lraspp", 3, (32, 64))
    assert (row["name"], other["name"]) == ("lraspp", "fast_scnn")
    assert row["macs"] == figures.macs
    assert row["peak_activation_bytes"] == figures.peak_activation_bytes
    assert row["receptive_field"] == figures.receptive_field._asdict()
    assert (row["paper"], row["year"], row["backbone"]) == ("arXiv:1905.02244", 2019, "mobilenet_v3_large")
    assert set(row["trunk_weights"]) == {"torchvision", "timm"}
    assert (other["backbone"], other["trunk_weights"]) == (None, {})
    assert "fp32_ms" not in row


def test_a_network_is_measured_here(monkeypatch, capsys):
    for package in ("torch", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="a measurement exports; pip install 'edgeseg[export]'")
    from torch import nn

    from edgeseg.cli.models import models
    from edgeseg.models import registry
    from edgeseg.models.network import Features, Network

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    @registry.register_network("measured_net")  # small: exports of others take seconds
    class MeasuredNet(Network):
        stride = 2
        tap_channels = ()

        def __init__(self, num_classes):
            super().__init__()
            self.classify = nn.Conv2d(3, num_classes, 3, 2, 1)

        def features(self, images):
            return Features(self.classify(images), ())

    models(["measured_net"], size="64x32", classes=3, measure=True, threads=1)
    heading, row = capsys.readouterr().out.splitlines()[:2]
    assert "sees px fp32 ms INT8 ms paper" in heading
    name, _, _, _, _, stride, seen_px, fp32_ms, int8_ms, *_ = row.split()
    assert (name, stride, seen_px) == ("measured_net", "2", "3")
    assert float(fp32_ms) >= 0
    assert float(int8_ms) >= 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "480x360"], "--size and --classes are of networks. Name some, or pass --all"),
        (["fast_scnn", "--size", "480"], "--size is '480'. Give a width and a height in pixels, as 480x360"),
        (["fast_scnn", "--classes", "0"], "a network of 0 classes"),
        (["nonesuch"], "there is no network 'nonesuch'"),
    ],
)
def test_refusals(run_cli, words, message):
    pytest.importorskip("torch", reason="networks need torch; pip install 'edgeseg[train]'")
    done = run_cli("models", *words)
    assert done.rc == 2
    assert message in done.stderr


def test_none_shipped_is_an_error_with_a_remedy(run_python, tmp_path):
    done = run_python(f"""
from pathlib import Path
from edgeseg import weights
weights.FOLDER = Path({str(tmp_path)!r})
from edgeseg.cli.models import models
models()
""")
    assert "ModelError: no trained models are installed. Install edgeseg again, or train one" in done.stderr
