"""A graph that ends in labels: the nodes at its end, edgeseg's plugins among them. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.artifact.onnx import set_spec
from edgeseg.runtime.tensorrt.plugins import DOMAIN, PLUGIN_VERSION, UPSAMPLE_ARGMAX_OP
from edgeseg.spec import ModelSpec


def decide_labels(model: onnx.ModelProto, spec: ModelSpec, *, by_plugin: bool) -> None:
    """Make a graph of logits return labels (N, H, W) uint8 at its input size, in place; its spec then says so.

    Args:
        model: what :func:`edgeseg_export.tensorrt.graph.read_onnx` returned.
        spec: its spec, which says that it returns logits.
        by_plugin: whether edgeseg's plugin upsamples and takes the argmax, which gives the labels of its CPU kernel;
            else ONNX's own Resize and ArgMax do it, as in ``edgeseg export --head labels`` from a checkpoint.
    """
    graph = model.graph
    logits = graph.output[0].name
    height, width = spec.input_size
    if by_plugin:
        add_plugin(model, UPSAMPLE_ARGMAX_OP, [logits], "head/labels", {"height": height, "width": width})
    else:
        graph.initializer.append(numpy_helper.from_array(np.array([height, width], np.int64), "head/size"))
        graph.node.extend(
            [
                helper.make_node("Shape", [logits], ["head/counts"], name="head/shape", start=0, end=2),
                helper.make_node("Concat", ["head/counts", "head/size"], ["head/sizes"], name="head/concat", axis=0),
                helper.make_node(
                    "Resize",
                    [logits, "", "", "head/sizes"],
                    ["head/upsampled"],
                    name="head/resize",
                    mode="linear",
                    coordinate_transformation_mode="half_pixel",
                ),
                helper.make_node("ArgMax", ["head/upsampled"], ["head/labels"], name="head/argmax", axis=1, keepdims=0),
            ]
        )
    return_labels(model, "head/labels", spec.unmeasured(output="labels", stride=1, crf=None))


def add_plugin(model: onnx.ModelProto, op: str, inputs: list[str], output: str, fields: Mapping[str, Any]) -> None:
    """Append the node that TensorRT's parser makes one of edgeseg's plugins of, named as its output's first part."""
    node = helper.make_node(
        op,
        inputs,
        [output],
        name=output.split("/", maxsplit=1)[0],
        domain=DOMAIN,
        plugin_version=PLUGIN_VERSION,
        plugin_namespace=DOMAIN,
        **fields,
    )
    model.graph.node.append(node)
    model.opset_import.append(helper.make_opsetid(DOMAIN, int(PLUGIN_VERSION)))


def return_labels(model: onnx.ModelProto, tensor: str, spec: ModelSpec) -> None:
    """Put uint8 ``labels`` (N, H, W) in the place of a graph's output, cast from a tensor of any type; set its spec."""
    graph = model.graph
    graph.node.append(helper.make_node("Cast", [tensor], ["labels"], name=f"{tensor}/cast", to=TensorProto.UINT8))
    labels = helper.make_tensor_value_info("labels", TensorProto.UINT8, [None, *spec.input_size])
    labels.type.tensor_type.shape.dim[0].CopyFrom(graph.input[0].type.tensor_type.shape.dim[0])
    del graph.output[:]
    graph.output.append(labels)
    set_spec(model, spec)
