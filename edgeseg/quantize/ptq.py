"""From a float ONNX artifact to one with Q/DQ pairs, for ONNX Runtime's CPU kernels or for TensorRT.

ONNX Runtime's quantizer places the pairs. What is added here: the network reads the uint8 frame without arithmetic
before it (:mod:`edgeseg.quantize.fold`), on a CPU four of its pixels at a time (:mod:`edgeseg.quantize.stem`), tensors
that are joined get one scale for TensorRT, and layers can be left in float.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgeseg.artifact.onnx import load_model, set_spec
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.quantize.calibrate import Method, NamedProgress, calibrate, no_progress
from edgeseg.quantize.fold import FoldedInput, cast_first, fold_normalisation
from edgeseg.quantize.graph import GraphView, remove_unused_constants
from edgeseg.quantize.in_float import before_softmax
from edgeseg.quantize.joined import Range, join_ranges
from edgeseg.quantize.stem import widen_stem
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.runtime.ort.module import load_onnxruntime
from edgeseg.spec import ModelSpec
from edgeseg.spec.int8 import INT8_LEVELS, Int8Target

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

_quantization = load_onnxruntime("quantization")
_INT8, _UINT8 = _quantization.QuantType.QInt8, _quantization.QuantType.QUInt8

OP_TYPES = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Clip", "Add"),
    *("Concat", "AveragePool", "GlobalAveragePool", "MaxPool", "Resize"),
)
"""What is computed in INT8; all else stays in float, and so does what a softmax compares. Mul is left out: it is
normalisation that could not be folded."""

FLOAT = onnx.TensorProto.FLOAT

_ACTIVATIONS = ("Relu", "Clip")
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger")
_BEFORE_OUTPUT = "_QuantizeLinear_Input"
"""What ONNX Runtime's quantizer appends to the name of an output where its Q/DQ pair reads it."""


@dataclass(frozen=True)
class Layer:
    """Nodes that are quantized or left in float together: an operator and the activation after it.

    Attributes:
        name: that of its weights where it has some, else of its node.
        nodes: names in the prepared graph.
    """

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """A float model with the ranges of its tensors: all that is needed to quantize any of its layers.

    Attributes:
        path: the artifact it came from.
        spec: what that says of itself.
        target: the engine it is for.
        layers: all that can be quantized, in the order of the graph.
    """

    path: Path
    spec: ModelSpec
    target: Int8Target
    layers: tuple[Layer, ...]
    _model: onnx.ModelProto
    _ranges: TensorsData
    _folded: FoldedInput | None
    _joined_constants: Mapping[str, Range] = field(default_factory=dict)

    def quantize(self, layers: Collection[Layer] | None = None) -> onnx.ModelProto:
        """The model with these layers in INT8 and all others in float; None means all of them.

        Its input and output are those of the artifact it came from, and so is its spec, but for the precision and for
        the figures that were measured of the float model.

        Raises:
            ModelError: ONNX Runtime's quantizer cannot do it.
        """
        chosen = self.layers if layers is None else layers
        nodes = [name for layer in chosen for name in layer.nodes]
        if not nodes:
            return load_model(self.path)
        levels = INT8_LEVELS[self.target]
        # Pools and resizes work in INT8 wherever they are chosen, not only where what they read is INT8 already.
        options: dict[str, Any] = {
            "TensorQuantOverrides": self._overrides(),
            "ForceQuantizeNoInputCheck": True,
        }
        if levels.is_symmetric:
            # TensorRT wants symmetric ranges, Q/DQ pairs on weights, and refuses the int32 Q/DQ of biases.
            options |= {"ActivationSymmetric": True, "WeightSymmetric": True}
            options |= {"AddQDQPairToWeight": True, "QuantizeBias": False, "DedicatedQDQPair": False}
            # A pair between a convolution and its ReLU would keep it from fusing them; who reads a result quantizes it.
            options |= {"OpTypesToExcludeOutputQuantization": ["Conv", "ConvTranspose", "Gemm", "MatMul", "Add"]}
        with _failures_told(self.path):
            quantizer = _quantization.QDQQuantizer(
                copy.deepcopy(self._model),
                True,  # per channel
                levels.largest_weight < 127,  # which then is 64
                _INT8,
                _INT8 if levels.is_symmetric else _UINT8,
                self._ranges,
                nodes,
                [],  # none excluded: those left in float are not among the nodes
                list(OP_TYPES),
                options,
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
            model: onnx.ModelProto = quantizer.model.model
            if not levels.is_symmetric and self._folded is not None:
                _read_pixels(model, self._folded)
                widen_stem(model)
            _tidy(model)
            set_spec(model, self.spec.unmeasured(precision=levels.precision))
            onnx.checker.check_model(model)
        return model

    def _overrides(self) -> dict[str, list[dict[str, Any]]]:
        """Of the frame, whose quantization loses nothing: scale 1; and of constants joined to other tensors."""
        overrides: dict[str, list[dict[str, Any]]] = {
            name: [{"quant_type": _INT8, "symmetric": True, "rmin": low, "rmax": high}]
            for name, (low, high) in self._joined_constants.items()
        }
        if self._folded is not None:
            kind, zero_point = (
                (_INT8, np.array(0, np.int8))
                if INT8_LEVELS[self.target].is_symmetric
                else (_UINT8, np.array(self._folded.zero_point, np.uint8))
            )
            frame = {"quant_type": kind, "scale": np.array(1, np.float32), "zero_point": zero_point}
            overrides[self._folded.centered] = [frame]
        return overrides


def calibrate_model(
    path: Path,
    images: Sequence[Path],
    target: Int8Target,
    method: Method,
    progress: NamedProgress = no_progress,
    bit_depth: int | None = None,
    spec: ModelSpec | None = None,
) -> CalibratedModel:
    """Prepare an artifact to be quantized.

    Args:
        path: a float ONNX file that ``edgeseg export`` wrote, with logits as its output.
        images: files to calibrate on, of any size.
        target: ``cpu``: uint8 activations and int8 weights, asymmetric, as ONNX Runtime's CPU kernels want them;
            ``tensorrt``: int8 for both, symmetric, in the form its parser takes.
        method: how a range is chosen from the values seen; see :func:`edgeseg.quantize.calibrate.calibrate`.
        progress: wraps the images.
        bit_depth: of images with more than 8 bits, as :func:`edgeseg.data.pictures.read_image` takes it.
        spec: its spec, where :func:`open_quantizable` was asked before; None has the file checked here.

    Raises:
        ModelError: no such file or no ONNX, an operator ONNX Runtime lacks, already quantized, labels as output, or
            beyond ONNX Runtime's quantizer.
        SpecError: it carries no spec, or one that does not fit its graph.
        DatasetError: an image cannot be read.
    """
    spec = spec or check_quantizable(path)
    with _failures_told(path):
        model, folded = _prepare(path, target)
        ranges = calibrate(model, OP_TYPES, images, spec, method, progress, bit_depth)
        constants = join_ranges(model.graph, ranges) if target == "tensorrt" else {}
        return CalibratedModel(path, spec, target, _layers(model.graph, ranges), model, ranges, folded, constants)


def model_with_ranges(path: Path, target: Int8Target, ranges: Mapping[str, tuple[float, float]]) -> CalibratedModel:
    """As :func:`calibrate_model`, with ranges that are known: those of quantization-aware training.

    Args:
        path: a float ONNX file that ``edgeseg export`` wrote, with logits as its output.
        target: as there.
        ranges: the lowest and highest value of each tensor that INT8 rounds, and of no other.

    Raises:
        ModelError, SpecError: as there; or ranges of other tensors than those that INT8 rounds.
    """
    spec = check_quantizable(path)
    with _failures_told(path):
        model, folded = _prepare(path, target, keep=tuple(ranges))
    known = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    # What is left over, such as what lies between a convolution and its ReLU, is not rounded; it only makes a layer.
    rest = {info.name: (np.float32(0), np.float32(0)) for info in model.graph.value_info if _is_float(info)}
    rest |= {output.name: (np.float32(0), np.float32(0)) for output in model.graph.output}
    data = _quantization.calibrate.TensorsData(_quantization.CalibrationMethod.MinMax, {**rest, **known})
    calibrated = CalibratedModel(path, spec, target, _layers(model.graph, data), model, data, folded)
    rounded = _rounded_tensors(calibrated.quantize().graph) - ({folded.centered} if folded else set())
    if differing := sorted(rounded ^ set(ranges)):
        raise ModelError(
            f"{path} has {len(rounded)} tensors to quantize, not the {len(ranges)} whose ranges are known "
            f"({differing[0]})",
            "Train it again: edgeseg train --qat",
        )
    return calibrated


def check_quantizable(path: Path) -> ModelSpec:
    """The spec of an artifact that can be quantized.

    Raises:
        ModelError, SpecError: it cannot; as :func:`calibrate_model`.
    """
    backend = open_quantizable(path)
    backend.close()
    return backend.spec


def open_quantizable(path: Path, threads: int | None = None) -> OrtBackend:
    """An artifact that can be quantized, ready to be run in float.

    Args:
        path: the artifact.
        threads: CPU threads; None means all cores.

    Raises:
        ModelError, SpecError: it cannot; as :func:`calibrate_model`.
    """
    if path.suffix.lower() != ".onnx":
        raise ModelError(f"{path} is no ONNX file", f"Export it first: edgeseg export {path}")
    backend = OrtBackend(path, threads=threads)  # reads it all, and tells what is wrong with it
    try:
        if backend.spec.output != "logits":
            what = f"{path} returns labels, whose argmax hides what INT8 does"
            raise ModelError(what, "Export it with logits: edgeseg export CHECKPOINT.pt --head logits")
        if not backend.op_types.isdisjoint(_QUANTIZED):
            raise ModelError(f"{path} is already quantized", "Pass the float model it was made from")
    except ModelError:
        backend.close()
        raise
    return backend


def _prepare(path: Path, target: Int8Target, keep: Collection[str] = ()) -> tuple[onnx.ModelProto, FoldedInput | None]:
    """The graph that is quantized: batch normalisation and the normalisation of the frame folded, nodes named.

    Tensors to keep are still there, under their names.
    """
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        prepared, source, kept = Path(folder, "prepared.onnx"), path, list[str]()
        if keep:  # what leaves a graph, no optimiser renames
            source = Path(folder, "kept.onnx")
            model = load_model(path)
            outputs = {output.name for output in model.graph.output}
            kept = [name for name in keep if name not in outputs]
            model.graph.output.extend(onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in kept)
            onnx.save(model, source)
        # Folds constants, and batch normalisation where the exporter has left some.
        _quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
    for output in [output for output in model.graph.output if output.name in kept]:
        model.graph.output.remove(output)
    cast_first(model)
    folded = fold_normalisation(model, INT8_LEVELS[target])
    _name_nodes(model.graph)
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model), folded


def _rounded_tensors(graph: onnx.GraphProto) -> set[str]:
    """The tensors that are not constant and have a Q/DQ pair."""
    view = GraphView(graph)
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    names = {node.input[0] for node in pairs if view.constant(node.input[0]) is None}
    return {name.removesuffix(_BEFORE_OUTPUT) for name in names}


def _is_float(info: onnx.ValueInfoProto) -> bool:
    return info.type.tensor_type.elem_type == FLOAT


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Names for those that have none: layers are chosen by them."""
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{index}"


def _layers(graph: onnx.GraphProto, ranges: TensorsData) -> tuple[Layer, ...]:
    view = GraphView(graph)
    layers: list[Layer] = []
    taken = before_softmax(graph)
    for node in graph.node:
        # Without a range it works on integers, such as shapes.
        if node.op_type not in OP_TYPES or node.name in taken or node.output[0] not in ranges:
            continue
        nodes = [node.name]
        after = view.only_consumer(node.output[0])
        if after is not None and after.op_type in _ACTIVATIONS:
            nodes.append(after.name)
        taken.update(nodes)
        weighted = len(node.input) > 1 and view.constant(node.input[1]) is not None
        layers.append(Layer(node.input[1].removesuffix(".weight") if weighted else node.name, tuple(nodes)))
    return tuple(layers)


def _read_pixels(model: onnx.ModelProto, folded: FoldedInput) -> None:
    """Let the first DequantizeLinear read the uint8 frame: Cast, Sub and QuantizeLinear before it undo each other.

    Nothing is done where the first layer was left in float.
    """
    graph, view = model.graph, GraphView(model.graph)
    quantize = view.only_consumer(folded.centered)
    if quantize is None or quantize.op_type != "QuantizeLinear":
        return
    sub = view.producer(folded.centered)
    transpose = view.producer(sub.input[0]) if sub else None
    cast = view.producer(transpose.input[0]) if transpose else None
    assert transpose is not None
    transpose.input[0] = graph.input[0].name
    for dequantize in view.consumers(quantize.output[0]):
        dequantize.input[0] = transpose.output[0]
    for node in (cast, sub, quantize):
        graph.node.remove(node)


def _tidy(model: onnx.ModelProto) -> None:
    """Remove constants no longer read, types of tensors no longer there, and the many opsets that nothing uses."""
    remove_unused_constants(model.graph)
    del model.graph.value_info[:]
    used = {node.domain for node in model.graph.node} | {""}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)


@contextmanager
def _failures_told(path: Path) -> Iterator[None]:
    """Whatever fails in a block, among what strangers' files may hold, is told in one line."""
    try:
        yield
    except EdgesegError:
        raise
    except Exception as error:  # onnx and the quantizer raise many unrelated types
        raise _cannot(path, error) from error


def _cannot(path: Path, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:200]
    reason = "".join(letter if letter.isprintable() else "?" for letter in reason)
    return ModelError(f"{path} cannot be quantized ({reason})", "Report it with the file")
