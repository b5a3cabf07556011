from __future__ import annotations

import pytest

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec


def test_shipped_models_are_listed_with_their_figures(run_cli):
    shipped = weights.shipped()
    if not shipped:
        pytest.skip("this checkout holds no trained models")
    done = run_cli("models")
    assert done.rc == 0
    for heading in ("model", "classes", "input", "params M", "GMACs", "mIoU %", "MB", "licence"):
        assert heading in done.stdout
    for model in shipped:
        metrics = read_spec(model.path).metrics
        row = next(line for line in done.stdout.splitlines() if line.startswith(model.name)).split()
        assert float(row[3]) == pytest.approx(metrics["parameters"] / 1e6, abs=0.005)
        assert float(row[4]) == pytest.approx(metrics["macs"] / 1e9, abs=0.005)
        assert float(row[5]) == pytest.approx(metrics["val_miou"] * 100, abs=0.05)


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
    assert row[:3] == ["tiny", "3", "48x32"]
    assert row[3:6] == ["-", "-", "-"]  # figures that were never measured
    assert row[-1] == "Apache-2.0"


def test_every_network_is_listed_with_what_it_can_be_made_with(run_cli):
    pytest.importorskip("torch", reason="networks need torch; pip install 'edgeseg[train]'")
    from edgeseg.models.registry import arguments_of, network_names

    done = run_cli("models", "--networks")
    assert done.rc == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[1:] if line}
    for name in network_names():
        assert all(f"{key}={value}" in rows[name] for key, value in arguments_of(name).items())


def test_none_shipped_is_an_error_with_a_remedy(run_python, tmp_path):
    done = run_python(f"""
from pathlib import Path
from edgeseg import weights
weights.FOLDER = Path({str(tmp_path)!r})
from edgeseg.cli.models import models
models()
""")
    assert "ModelError: no trained models are installed. Install edgeseg again, or train one" in done.stderr
