"""The dense CRF inside an ONNX graph, as a node that edgeseg's TensorRT plugin computes. Knows no torch.

Such a file runs in TensorRT alone, with the plugin library loaded; see ``docs/tensorrt.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from edgeseg.files.whole import written_whole
from edgeseg.refine.base import check_refinable
from edgeseg.refine.crf import Quality
from edgeseg.runtime.tensorrt.plugins import CRF_OP
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import BilateralTerm, CrfParams, SpatialTerm, spread
from edgeseg_export.tensorrt.graph import prepare, read_onnx
from edgeseg_export.tensorrt.labels import add_plugin, return_labels

IMAGE_TYPE = TensorProto.FLOAT16
"""What the plugin gets the image as and returns labels as. TensorRT gives plugins no bytes, and converts them to and
from floats alone; a half holds 0..255 exactly."""


def insert_crf(path: Path, output: Path | None = None, *, quality: Quality = "fast", vertices: int = 0) -> ModelSpec:
    """Give an exported model a dense CRF at its end, with the parameters in its spec or else the defaults.

    The graph then takes ``images`` (N, H, W, 3) uint8 and returns ``labels`` (N, H, W) uint8. The logits' type may be
    float32 or float16.

    Args:
        path: an ONNX file with logits as its output.
        output: the file to write; None for ``path`` itself.
        quality: ``fast`` or ``accurate``, see :class:`edgeseg.refine.crf.DenseCrf`.
        vertices: the capacity of the CRF's lattice; 0 for what most pictures of the model's size stay under. A picture
            that needs more keeps the network's own labels.

    Returns:
        The spec that the new file carries. Figures measured without the CRF are left out.

    Raises:
        ModelError: the file cannot be read as ONNX, its model returns labels, or TensorRT could not take it.
        SpecError: the file carries no spec.
        SinkError: the file cannot be written.
    """
    model, spec = read_onnx(path)
    check_refinable(spec)
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    model = prepare(model, path, "int8" if quantized else "fp32")
    params = spec.crf or CrfParams()
    spec = spec.unmeasured(output="labels", stride=1, crf=params)
    graph = model.graph
    images, logits = graph.input[0].name, graph.output[0].name
    graph.node.append(helper.make_node("Cast", [images], ["crf/image"], name="crf/image", to=IMAGE_TYPE))
    values = {"output": "labels", "quality": quality, "vertices": vertices, **attributes(params)}
    add_plugin(model, CRF_OP, [logits, "crf/image"], "crf/labels", values)
    return_labels(model, "crf/labels", spec)
    onnx.checker.check_model(model)
    with written_whole(output or path, make_folders=True) as partial:
        onnx.save(model, partial)
    return spec


def attributes(params: CrfParams) -> dict[str, Any]:
    """The node's attributes, under the names of :class:`CrfParams`, with its matrix and its further terms as rows."""
    more = {
        "compatibility": [cost for row in params.compatibility or () for cost in row],
        "more_bilateral": [x for term in params.more_terms if isinstance(term, BilateralTerm) for x in term.row()],
        "more_spatial": [x for term in params.more_terms if isinstance(term, SpatialTerm) for x in term.row()],
    }
    return {
        "bilateral_sigma_xy_px": list(spread(params.bilateral_sigma_xy_px, 2)),
        "bilateral_sigma_rgb": list(spread(params.bilateral_sigma_rgb, 3)),
        "bilateral_weight": [params.bilateral_weight],
        "spatial_sigma_px": list(spread(params.spatial_sigma_px, 2)),
        "spatial_weight": [params.spatial_weight],
        "iterations": params.iterations,
        **{name: values for name, values in more.items() if values},  # ONNX knows no type of an empty list
    }
