"""The plot of accuracy over latency: whose figures they are, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from scripts import load_script

pytest.importorskip("matplotlib", reason="the plot needs matplotlib; pip install 'edgeseg[train]'")

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return load_script(REPOSITORY / "benchmarks" / "tradeoff.py", "tradeoff")


def test_a_row_for_each_model_and_a_line_for_what_is_timed_alone(
    script, convnet, convnet_data, tmp_path, monkeypatch, capsys
):
    onnx = pytest.importorskip("onnx", reason="onnx writes the test model; pip install 'edgeseg[quantize]'")
    for name, kind in (("beside", onnx.TensorProto.FLOAT), ("bytes", onnx.TensorProto.UINT8)):
        shape = ["N", 3, "height", "width"] if name == "beside" else ["N", "height", "width", 3]
        image = onnx.helper.make_tensor_value_info("image", kind, shape)
        other = onnx.helper.make_tensor_value_info("other", kind, None)
        node = onnx.helper.make_node("Identity", ["image"], ["other"])
        graph = onnx.helper.make_graph([node], name, [image], [other])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / f"{name}.onnx")
    drawn = tmp_path / "plots" / "plot.png"
    beside = f"{tmp_path / 'beside.onnx'} {tmp_path / 'bytes.onnx'}"
    words = f"{convnet} --data {convnet_data} --threads 1 --rounds 3 --plot {drawn} --beside {beside}"
    monkeypatch.setattr("sys.argv", ["", *words.split()])
    script.main()
    rows = {cells[1].strip(): cells[2:5] for line in capsys.readouterr().out.splitlines() if (cells := line.split("|"))}
    assert set(rows) == {"model", "---", str(convnet), "beside", "bytes"}
    ms, _, miou = (float(cell) for cell in rows[str(convnet)])
    assert ms > 0
    assert miou == 100  # the labels are its own
    assert rows["beside"][2].strip() == ""
    assert cv2.imread(str(drawn)).shape[1] == 936
