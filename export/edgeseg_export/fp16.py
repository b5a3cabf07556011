"""An ONNX artifact in FP16: weights and feature maps in half precision, its inputs and outputs as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.artifact.onnx import carries_spec, set_spec, spec_in
from edgeseg.errors import ModelError

KEPT_FLOAT32 = frozenset({"Softmax", "LogSoftmax", "ArgMax"})
"""Operators that stay in float32: sums of exponentials over the classes, and what decides a label."""

_READ_FLOAT32 = {"Resize": (1, 2)}
"""Positions of inputs that are float32 whatever the operator computes in."""

_HALF_MAX = float(np.finfo(np.float16).max)


def to_fp16(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """A copy whose weights and feature maps are float16, with casts where float32 remains.

    All that comes before the first convolution, which is the normalisation, stays in float32: pixels reach 255 and the
    mean is subtracted from them, so that float16 would round the difference. So do ``KEPT_FLOAT32`` and operators of
    other domains, the dense CRF among them. Inputs and outputs keep their names and types. A spec in the metadata says
    ``fp16`` from then on, without the figures that were measured of the float32 model.

    Args:
        model: a model in float32.
        where: its file, for the message.

    Raises:
        ModelError: a weight is beyond float16, or there is control flow.
    """
    converter = _Converter(model, where)
    converter.convert()
    if carries_spec(model):
        set_spec(converter.model, spec_in(model, Path(where)).unmeasured(precision="fp16"))
    return converter.model


class _Converter:
    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._where = where
        graph = onnx.shape_inference.infer_shapes(model).graph
        self._types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*graph.value_info, *graph.input, *graph.output)
            if value.type.HasField("tensor_type")
        }
        self._weights = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self._types.update((name, tensor.data_type) for name, tensor in self._weights.items())
        self._half: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []
        self._casts: dict[tuple[str, int], str] = {}
        self._new_weights: dict[str, onnx.TensorProto] = {}

    def convert(self) -> None:
        graph = self.model.graph
        outputs = {output.name for output in graph.output}
        seen_convolution = False
        for node in graph.node:
            seen_convolution |= node.op_type == "Conv"
            if any(
                attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
                for attribute in node.attribute
            ):
                raise ModelError(
                    f"{self._where} has control flow ({node.op_type}), which cannot be put into FP16",
                    "Use the precision fp32",
                )
            half = seen_convolution and self._computes_in_half(node)
            self._feed(node, half)
            self._nodes.append(node)
            if half:
                for index, name in enumerate(node.output):
                    if self._types.get(name) != TensorProto.FLOAT:
                        continue
                    self._half.add(name)
                    if name in outputs:
                        node.output[index] = inner = f"{name}.fp16"
                        self._half.add(inner)
                        self._half.discard(name)
                        self._nodes.append(_cast(inner, name, TensorProto.FLOAT))
        used = {name for node in self._nodes for name in node.input}
        weights = [tensor for name, tensor in (self._weights | self._new_weights).items() if name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(weights)

    def _computes_in_half(self, node: onnx.NodeProto) -> bool:
        """Casts and constants say their type themselves and are left to say it."""
        return (
            node.domain in ("", "ai.onnx")
            and node.op_type not in KEPT_FLOAT32
            and node.op_type not in ("Cast", "Constant", "ConstantOfShape")
            and all(name in self._types for name in node.output if name)
        )

    def _feed(self, node: onnx.NodeProto, half: bool) -> None:
        """Bring the node's float inputs to the type it computes in."""
        for index, name in enumerate(node.input):
            if self._types.get(name) != TensorProto.FLOAT or node.op_type == "Cast":
                continue
            wants_half = half and index not in _READ_FLOAT32.get(node.op_type, ())
            if name in self._weights:
                if wants_half:
                    node.input[index] = self._half_weight(name)
            elif wants_half != (name in self._half):
                node.input[index] = self._as(name, TensorProto.FLOAT16 if wants_half else TensorProto.FLOAT)

    def _half_weight(self, name: str) -> str:
        half_name = f"{name}.fp16"
        if half_name not in self._new_weights:
            values = numpy_helper.to_array(self._weights[name])
            if not np.all(np.abs(values) <= _HALF_MAX):
                raise ModelError(
                    f"{self._where}: the weight {name} is not finite or exceeds {_HALF_MAX:.0f}, the largest float16",
                    "Use the precision fp32",
                )
            self._new_weights[half_name] = numpy_helper.from_array(values.astype(np.float16), half_name)
        return half_name

    def _as(self, name: str, dtype: int) -> str:
        key = (name, dtype)
        if key not in self._casts:
            self._casts[key] = f"{name}.{'fp16' if dtype == TensorProto.FLOAT16 else 'fp32'}"
            self._nodes.append(_cast(name, self._casts[key], dtype))
        return self._casts[key]


def _cast(source: str, target: str, dtype: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=dtype)
