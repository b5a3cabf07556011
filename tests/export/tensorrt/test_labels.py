"""Labels decided at the end of a graph: by the plugin's node, or by ONNX's own operators."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from edgeseg import _native
from edgeseg.evaluation.parity import probe_images
from edgeseg.runtime.postprocess import to_labels
from edgeseg.runtime.registry import open_backend
from edgeseg.runtime.tensorrt.plugins import DOMAIN
from edgeseg_export.fp16 import to_fp16
from edgeseg_export.tensorrt.graph import read_onnx
from edgeseg_export.tensorrt.labels import decide_labels


class UpsampleArgmax(OpRun):
    """What the plugin computes, by edgeseg's CPU kernel."""

    op_domain = DOMAIN

    def _run(self, logits, height=None, width=None, plugin_version=None, plugin_namespace=None):
        # By these TensorRT finds the plugin.
        assert (plugin_version, plugin_namespace) == ("1", "edgeseg")
        return (_native.upsample_argmax(logits, height, width).astype(logits.dtype),)


def with_labels(path, by_plugin):
    model, spec = read_onnx(path)
    decide_labels(model, spec, by_plugin=by_plugin)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def images():
    return np.stack(probe_images((64, 96)))


@pytest.fixture
def expected(artifact_of, images):
    logits = open_backend(artifact_of("fast_scnn", "logits")).infer(images)
    return _native.upsample_argmax(logits, 64, 96)


def run_onnx(model, images, tmp_path):
    onnx.save(model, tmp_path / "labels.onnx")
    return open_backend(tmp_path / "labels.onnx").infer(images)


def test_a_node_of_the_plugin_gives_the_labels_of_the_cpu_kernel(tiny_onnx, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    model = with_labels(tiny_onnx, by_plugin=True)
    (node,) = [node for node in model.graph.node if node.domain == DOMAIN]
    assert node.op_type == "UpsampleArgmax"
    assert not {"Resize", "ArgMax"} & {node.op_type for node in model.graph.node}
    (labels,) = ReferenceEvaluator(model, new_ops=[UpsampleArgmax]).run(None, {"images": image})
    assert labels.dtype == np.uint8
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels[0], to_labels(open_backend(tiny_onnx).infer(image), (32, 48), 1))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnxs_own_operators_give_the_same_but_for_ties(artifact_of, images, expected, tmp_path, precision):
    model = with_labels(artifact_of("fast_scnn", "logits"), by_plugin=False)
    if precision == "fp16":
        model = to_fp16(model, "the model")
    labels = run_onnx(model, images, tmp_path)
    assert labels.shape == expected.shape
    assert (labels == expected).mean() > (0.9999 if precision == "fp32" else 0.98)


def test_fp16_leaves_the_plugin_in_float32(artifact_of):
    model = to_fp16(with_labels(artifact_of("fast_scnn", "logits"), by_plugin=True), "the model")
    (node,) = [node for node in model.graph.node if node.domain == DOMAIN]
    (cast,) = [other for other in model.graph.node if node.input[0] in other.output]
    assert (cast.op_type, cast.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT)


@pytest.mark.parametrize("by_plugin", [True, False])
def test_spec_and_output_say_labels(artifact_of, by_plugin):
    from edgeseg.artifact.onnx import spec_in

    path = artifact_of("fast_scnn", "logits")
    model = with_labels(path, by_plugin)
    spec = spec_in(model, path)
    assert (spec.output, spec.stride, spec.metrics.get("val_miou")) == ("labels", 1, None)
    (labels,) = model.graph.output
    assert (labels.name, labels.type.tensor_type.elem_type) == ("labels", onnx.TensorProto.UINT8)
    batch, *size = labels.type.tensor_type.shape.dim
    assert batch.dim_param == model.graph.input[0].type.tensor_type.shape.dim[0].dim_param != ""
    assert [dim.dim_value for dim in size] == [64, 96]
