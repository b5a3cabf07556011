"""A checkpoint of quantization-aware training becomes an INT8 artifact, by what ``edgeseg quantize`` writes with.

The float network is exported with names on the tensors that training rounded; their learned ranges then take the place
of calibrated ones.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeseg.artifact.onnx import read_spec, set_spec
from edgeseg.errors import InputError, ModelError
from edgeseg.evaluation.parity import compare, probe_images
from edgeseg.files.whole import keep_apart, written_whole
from edgeseg.models.checkpoint import Checkpoint, read_checkpoint
from edgeseg.quantize.ptq import model_with_ranges
from edgeseg.runtime.backend import check_images
from edgeseg.spec import ModelSpec
from edgeseg.spec.int8 import INT8_LEVELS
from edgeseg.train.capture import OUTPUT_AXIS, capture, normalisation_of, quantized_tensors
from edgeseg.train.qat import read_learned
from edgeseg_export.onnx import DeployedNetwork, to_onnx

NUDGE = 1e-4
"""By how much steps are wider where a network is compared with itself; see :func:`expected_agreement`."""

TOLERANCE = 0.05
"""By how much an artifact may agree less than expected."""


def export_quantized(checkpoint: Path | Checkpoint, output: Path, *, spec: ModelSpec | None = None) -> ModelSpec:
    """Write a checkpoint that ``edgeseg train --qat`` made as ONNX with Q/DQ pairs, complete or not at all.

    The graph takes and returns what that of :func:`edgeseg_export.onnx.export_onnx` does; the pairs stand where
    ``edgeseg quantize`` puts them for the target it was trained for.

    Args:
        checkpoint: the checkpoint, or what was read of it.
        output: the .onnx file to write.
        spec: the spec to give it but for its precision; None keeps the checkpoint's.

    Returns:
        The spec that the artifact carries.

    Raises:
        InputError: the network cannot take the input size, or labels are asked for.
        ModelError: not such a checkpoint, or its ranges are those of another version of the network.
        SinkError: the file cannot be written.
    """
    checkpoint = read_checkpoint(checkpoint)
    keep_apart([output], [checkpoint.path])
    spec = spec or checkpoint.spec
    if spec.output != "logits":
        raise InputError(f"{checkpoint.path} is for INT8, which ends in logits", "Set output to logits")
    captured = _Captured(checkpoint, spec.input_size)
    spec = replace(spec, stride=captured.stride)
    with written_whole(output, make_folders=True) as partial, tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        source = Path(folder, "float.onnx")
        onnx.save(captured.to_onnx(spec), source)
        model = model_with_ranges(source, captured.target, captured.ranges).quantize()
        onnx.save(model, partial)
        return read_spec(partial)


class FakeQuantizedBackend:
    """A :class:`edgeseg.runtime.backend.Backend` that runs such a checkpoint in PyTorch, rounding as in training.

    It is what the artifact is compared with; written without the library that trained, it checks that too.

    Args:
        checkpoint: the checkpoint, or what was read of it.
        size: height and width of the images; None keeps the checkpoint's.
        nudge: makes every step wider by this fraction.

    Attributes:
        checkpoint: what was read of it.
    """

    max_batch: int | None = None

    def __init__(
        self, checkpoint: Path | Checkpoint, size: tuple[int, int] | None = None, *, nudge: float = 0.0
    ) -> None:
        self.checkpoint = read_checkpoint(checkpoint)
        spec = self.checkpoint.spec
        self.spec = replace(spec, input_size=size or spec.input_size)
        graph = _Captured(self.checkpoint, self.spec.input_size).rounding(nudge)
        self._network = DeployedNetwork(graph, self.spec)

    @torch.no_grad()
    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits, as the protocol says."""
        check_images(images, self.spec.input_size)
        logits: NDArray[np.float32] = self._network(torch.from_numpy(images))[0].numpy()
        return logits

    def close(self) -> None:
        """Nothing is held."""


def expected_agreement(reference: FakeQuantizedBackend) -> float:
    """The fraction of labels on which a true artifact agrees with the reference on probe images.

    A value between two steps goes either way, and every program rounds some of them otherwise. How many labels hang on
    that differs from network to network: as many as change where the steps are wider by ``NUDGE``.
    """
    size = reference.spec.input_size
    nudged = FakeQuantizedBackend(reference.checkpoint, size, nudge=NUDGE)
    return compare(reference, nudged, ((image, None) for image in probe_images(size))).label_agreement


class _Captured:
    """The graph of a checkpoint's network, the tensors that are rounded in it, and the range of each by its name."""

    def __init__(self, checkpoint: Checkpoint, size: tuple[int, int]) -> None:
        learned = read_learned(checkpoint)
        if learned is None:
            raise ModelError(
                f"{checkpoint.path} was not trained for INT8", "Export it in float, or train it with qat first"
            )
        network = checkpoint.network()
        network.check_size(size)
        self.checkpoint = checkpoint
        self.target = learned.target
        self.stride = network.stride
        self.module = capture(network, size)
        groups = quantized_tensors(self.module.graph, learned.target)
        if len(groups) != len(learned.ranges):
            needed = f"{checkpoint.spec.network} needs {len(groups)}"
            raise ModelError(
                f"{checkpoint.path} has {len(learned.ranges)} ranges, but {needed}", "Train it for INT8 again (qat)"
            )
        (self._output,) = (node for node in self.module.graph.nodes if node.op == "output")
        self._limits = {node: limits for group, limits in zip(groups, learned.ranges, strict=True) for node in group}
        self.ranges = {self._name(node): limits for node, limits in self._limits.items()}

    def to_onnx(self, spec: ModelSpec) -> onnx.ModelProto:
        """The float artifact, with the tensors that are to be rounded under the names of ``ranges``."""
        logits = self._logits()
        named = [node for node in self._limits if node is not logits]
        self._output.args = ((logits, *named),)
        self.module.recompile()
        names = [self._name(node) for node in named]
        model = to_onnx(DeployedNetwork(self.module, spec), spec, str(self.checkpoint.path), names)
        del model.graph.output[1:]  # their names stay
        set_spec(model, spec)
        return model

    def rounding(self, nudge: float) -> GraphModule:
        """The graph that rounds weights and tensors; its logits are the first of what it returns."""
        graph, levels = self.module.graph, INT8_LEVELS[self.target]
        for node in graph.nodes:
            if node.target in OUTPUT_AXIS:
                self._round_weight(node)
        for node, (low, high) in self._limits.items():
            scale, zero_point = levels.steps(low, high)
            scale *= 1 + nudge
            readers = list(node.users)
            with graph.inserting_after(node):
                rounded = graph.call_function(
                    torch.fake_quantize_per_tensor_affine, (node, scale, zero_point, levels.lowest, levels.highest)
                )
            for reader in readers:
                reader.replace_input_with(node, rounded)
        self.module.recompile()
        return self.module

    @torch.no_grad()
    def _round_weight(self, convolution: Node) -> None:
        """In place, per output channel, with the batch normalisation after it in the weights."""
        axis, largest = OUTPUT_AXIS[convolution.target], INT8_LEVELS[self.target].largest_weight  # type: ignore[index]
        weight = self._value(convolution.args[1])
        factor = torch.ones(weight.shape[axis])
        if (normalisation := normalisation_of(convolution)) is not None:
            gamma, variance = (self._value(normalisation.args[index]) for index in (1, 4))
            factor = gamma / torch.sqrt(variance + float(normalisation.args[7]))  # type: ignore[arg-type]
        factor = factor.view([-1 if index == axis else 1 for index in range(weight.ndim)])
        folded = weight * factor
        scale = folded.abs().amax([index for index in range(weight.ndim) if index != axis]) / largest
        zero_points = torch.zeros(len(scale), dtype=torch.int32)
        scale = scale.clamp_min(torch.finfo(torch.float32).eps)
        rounded = torch.fake_quantize_per_channel_affine(folded, scale, zero_points, axis, -largest, largest)
        weight.copy_(torch.where(factor == 0, weight, rounded / factor))

    def _value(self, node: object) -> Tensor:
        assert isinstance(node, Node)
        tensor: Tensor = self.module.state_dict()[str(node.target)]
        return tensor

    def _logits(self) -> Node:
        logits: Node = self._output.args[0][0]
        return logits

    def _name(self, node: Node) -> str:
        """No other tensor of the exported graph is called that."""
        return "logits" if node is self._logits() else f"int8/{node.name}"
