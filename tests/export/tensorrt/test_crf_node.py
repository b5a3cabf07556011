"""The dense CRF as a node: what it holds, what the graph around it computes, and who refuses it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from edgeseg.artifact.onnx import rewrite_spec
from edgeseg.errors import ModelError, SinkError, SpecError
from edgeseg.refine.base import probabilities_of
from edgeseg.refine.crf import DenseCrf
from edgeseg.runtime.tensorrt.plugins import DOMAIN
from edgeseg.segmenter import Segmenter
from edgeseg.spec.crf_params import BilateralTerm, CrfParams, SpatialTerm
from edgeseg_export.tensorrt.crf_node import insert_crf

# Halves and quarters: they are the same in 32 bits.
PARAMS = CrfParams(
    bilateral_sigma_xy_px=(20.0, 10.5),
    bilateral_sigma_rgb=(5.25, 6.0, 7.0),
    bilateral_weight=4.5,
    spatial_sigma_px=(2.0, 2.5),
    spatial_weight=0.75,
    iterations=3,
    compatibility=((0.0, 1.0, 2.0), (1.0, 0.0, 1.0), (2.0, 1.5, 0.0)),
    more_terms=(
        BilateralTerm((9.0, 8.0), (20.0, 21.0, 22.0), 1.5),
        BilateralTerm((3.0, 3.0), (4.0, 4.0, 4.0), -0.5),
        SpatialTerm((6.0, 7.0), 0.25),
    ),
)


class DenseCRF(OpRun):
    """What the plugin computes, by edgeseg's CPU kernels."""

    op_domain = DOMAIN

    def _load_attributes(self):
        """As members their names would clash with those of OpRun."""
        self.has_linked_attribute, self.attributes_names_ = False, ()

    def _run(self, logits, image):
        assert logits.dtype == np.float32
        assert image.dtype == np.float16
        params = params_of(self.onnx_node)
        labels = [
            DenseCrf(*picture.shape[:2], logits.shape[1], params).labels(
                probabilities_of(scores[None], picture.shape[:2]), picture.astype(np.uint8)
            )
            for scores, picture in zip(logits, image, strict=True)
        ]
        return (np.stack(labels).astype(image.dtype),)


def node_of(path):
    (node,) = [node for node in onnx.load(path).graph.node if node.domain == DOMAIN]
    return node


def params_of(node):
    """The parameters in a node of :func:`insert_crf`: 32-bit floats, and of further terms the bilateral ones first."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    known = {
        field.name: values[field.name]
        for field in fields(CrfParams)
        if field.name in values and field.name != "compatibility"
    }
    for name in ("bilateral_weight", "spatial_weight"):
        known[name] = known[name][0]
    costs = values.get("compatibility", [])
    classes = round(len(costs) ** 0.5)
    bilateral, spatial = rows_of(values.get("more_bilateral", []), 6), rows_of(values.get("more_spatial", []), 3)
    return CrfParams(
        **known,
        compatibility=tuple(rows_of(costs, classes)) if costs else None,
        more_terms=(
            *(BilateralTerm((x, y), (r, g, b), weight) for x, y, r, g, b, weight in bilateral),
            *(SpatialTerm((x, y), weight) for x, y, weight in spatial),
        ),
    )


def rows_of(values, columns):
    return [tuple(values[i : i + columns]) for i in range(0, len(values), columns)]


@pytest.fixture
def noisy_image():
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("params", [PARAMS, CrfParams(), CrfParams(bilateral_weight=0.0, iterations=0)])
def test_the_parameters_come_back_from_the_node(tiny_onnx, tiny_spec, tmp_path, params):
    rewrite_spec(tiny_onnx, replace(tiny_spec, crf=params), tmp_path / "tuned.onnx")
    spec = insert_crf(tmp_path / "tuned.onnx", tmp_path / "refined.onnx")
    assert spec.crf == params
    found = params_of(node_of(tmp_path / "refined.onnx"))
    assert found.bilateral_terms == CrfParams(**{**vars(params), **spread_out(params)}).bilateral_terms
    assert found.spatial_terms == CrfParams(**{**vars(params), **spread_out(params)}).spatial_terms
    assert (found.iterations, found.compatibility) == (params.iterations, params.compatibility)


def spread_out(params):
    """One sigma for all axes as one for each, which is how a node holds them."""
    term, spatial = params.bilateral_terms or (BilateralTerm(80, 13, 1),), params.spatial_terms
    return {
        "bilateral_sigma_xy_px": term[0].row()[:2],
        "bilateral_sigma_rgb": term[0].row()[2:5],
        "spatial_sigma_px": spatial[0].row()[:2],
    }


def test_the_graph_still_takes_frames_and_now_returns_labels(artifact_of, tmp_path):
    logits, refined = artifact_of("fast_scnn", "logits"), tmp_path / "refined.onnx"
    before = logits.read_bytes()
    spec = insert_crf(logits, refined, quality="accurate", vertices=5000)
    assert logits.read_bytes() == before
    assert (spec.output, spec.stride, spec.crf) == ("labels", 1, CrfParams())
    assert "val_miou" not in spec.metrics
    model = onnx.load(refined)
    onnx.checker.check_model(model, full_check=True)
    (images,), (labels,) = model.graph.input, model.graph.output
    assert images.type.tensor_type.elem_type == labels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert labels.name == "labels"
    batch, *size = labels.type.tensor_type.shape.dim
    assert batch.dim_param == images.type.tensor_type.shape.dim[0].dim_param != ""
    assert [dim.dim_value for dim in size] == [64, 96]
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node_of(refined).attribute}
    # By these TensorRT finds the plugin.
    assert (values["plugin_version"], values["plugin_namespace"]) == (b"1", b"edgeseg")
    assert (values["quality"], values["vertices"]) == (b"accurate", 5000)


def test_it_labels_as_refinement_outside_of_the_graph_does(tiny_onnx, tiny_spec, tmp_path, noisy_image):
    tuned, refined = tmp_path / "tuned.onnx", tmp_path / "refined.onnx"
    rewrite_spec(tiny_onnx, replace(tiny_spec, crf=PARAMS), tuned)
    insert_crf(tuned, refined)
    labels = ReferenceEvaluator(str(refined), new_ops=[DenseCRF]).run(None, {"images": noisy_image[None]})[0]
    assert labels.dtype == np.uint8
    with Segmenter.open(tuned, refine="crf") as segmenter:
        expected = segmenter(noisy_image).labels
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(labels[0], expected)


def test_onnx_runtime_refuses_it_in_one_line_that_says_why(tiny_onnx, tmp_path, run_cli):
    insert_crf(tiny_onnx, tmp_path / "refined.onnx")
    done = run_cli("run", "synthetic:", "--model", tmp_path / "refined.onnx", "--max-frames", "1")
    assert done.rc == 2
    assert len(done.stderr.splitlines()) == 1
    assert "holds the dense CRF as a TensorRT plugin" in done.stderr


def test_labels_cannot_be_refined(tiny_labels_onnx, tmp_path):
    with pytest.raises(ModelError, match="needs logits"):
        insert_crf(tiny_labels_onnx, tmp_path / "refined.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_spec_is_refused(write_onnx, tmp_path):
    with pytest.raises(SpecError, match="without edgeseg's spec"):
        insert_crf(write_onnx(tmp_path / "bare.onnx", spec_json=None))


def test_a_folder_in_the_way_is_named(tiny_onnx, tmp_path):
    (tmp_path / "refined.onnx").mkdir()
    with pytest.raises(SinkError, match=r"refined\.onnx"):
        insert_crf(tiny_onnx, tmp_path / "refined.onnx")


def test_no_torch_is_needed(run_python):
    done = run_python("import sys, edgeseg_export.tensorrt.crf_node; print('torch' in sys.modules)")
    assert done == (0, "False\n", "")


def test_export_puts_it_into_the_graph(checkpoint_of, tmp_path, run_cli):
    refined = tmp_path / "refined.onnx"
    done = run_cli("export", checkpoint_of("fast_scnn"), "--refine", "crf", "--output", refined)
    assert done.rc == 0, done.stderr
    assert "parity with PyTorch" in done.stdout
    assert f"next: trtexec --onnx={refined} --stronglyTyped --staticPlugins=" in done.stdout
    assert "not tuned" in done.stderr
    assert params_of(node_of(refined)).iterations == CrfParams().iterations
    done = run_cli("export", checkpoint_of("fast_scnn"), "--refine", "crf", "--head", "labels", "--output", refined)
    assert (done.rc, done.stderr.count("\n")) == (2, 1)


def test_export_refines_onnx_with_the_parameters_fitted_to_it(tiny_onnx, tiny_spec, tmp_path, run_cli):
    tuned = tmp_path / "tuned.onnx"
    rewrite_spec(tiny_onnx, replace(tiny_spec, crf=PARAMS), tuned)
    before = tuned.read_bytes()
    done = run_cli("export", tuned, "--refine", "crf")
    assert done.rc == 0, done.stderr
    assert "not tuned" not in done.stderr
    assert tuned.read_bytes() == before
    assert params_of(node_of(tmp_path / "tuned-crf.onnx")).iterations == PARAMS.iterations
