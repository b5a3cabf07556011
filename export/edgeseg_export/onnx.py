"""A checkpoint becomes an ONNX file that takes uint8 RGB frames and carries its own ModelSpec."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgeseg.artifact.onnx import set_spec
from edgeseg.errors import ModelError
from edgeseg.files.whole import keep_apart, written_whole
from edgeseg.models.blocks import resize
from edgeseg.models.checkpoint import Checkpoint, read_checkpoint
from edgeseg.models.normalise import Normalise
from edgeseg.spec import ModelSpec

OPSET = 18
"""The opset that ONNX Runtime >= 1.14 and TensorRT >= 10 both read."""

INPUT_NAME = "images"


class DeployedNetwork(nn.Module):
    """A network from uint8 frames to what its artifact returns: normalisation, and upsampling and argmax if asked."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.network = network
        self.labels = spec.output == "labels"
        self.normalise = Normalise(spec)

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 RGB to (N, C, h, w) float32 logits, or (N, H, W) uint8 labels."""
        logits: Tensor = self.network(self.normalise(images.permute(0, 3, 1, 2)))
        if not self.labels:
            return logits
        return resize(logits, (images.shape[1], images.shape[2])).argmax(dim=1).to(torch.uint8)


def export_onnx(checkpoint: Path | Checkpoint, output: Path, *, spec: ModelSpec | None = None) -> ModelSpec:
    """Write a checkpoint as ONNX, complete or not at all.

    The graph takes ``images`` (N, H, W, 3) uint8 with a free batch size N and returns ``logits`` or ``labels``, as the
    spec's ``output`` says; batch normalisation is folded into the convolution before it.

    Args:
        checkpoint: what ``edgeseg train`` wrote, or what was read of it.
        output: the .onnx file to write.
        spec: the spec to give it, with another ``output``, ``input_size`` or licence, say; None keeps the checkpoint's.

    Returns:
        The spec that the artifact carries.

    Raises:
        InputError: the network cannot take the input size.
        ModelError: not a checkpoint of edgeseg, or the exporter cannot express it.
        SinkError: the file cannot be written.
    """
    checkpoint = read_checkpoint(checkpoint)
    keep_apart([output], [checkpoint.path])
    network = checkpoint.network()
    spec = spec or checkpoint.spec
    network.check_size(spec.input_size)
    spec = replace(spec, stride=1 if spec.output == "labels" else network.stride)
    with written_whole(output, make_folders=True) as partial:
        deployed = DeployedNetwork(network, spec).eval()
        _fold_batch_norm(deployed)
        model = to_onnx(deployed, spec, str(checkpoint.path))
        set_spec(model, spec)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, partial)
    return spec


def to_onnx(module: nn.Module, spec: ModelSpec, where: str, more_outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """The graph of a module that takes uint8 frames, as in :func:`export_onnx`, yet without metadata.

    Args:
        module: takes (N, H, W, 3) uint8; returns what ``spec.output`` says, or a tuple of that and more.
        spec: its spec.
        where: what it came from, for messages.
        more_outputs: names for what else it returns.

    Raises:
        ModelError: the exporter cannot express it.
    """
    example = torch.zeros(2, *spec.input_size, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that no export here needs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                input_names=[INPUT_NAME],
                output_names=[spec.output, *more_outputs],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many unrelated types
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{where} cannot be exported at {spec.input_size} ({reason})", "Try another size") from error
    if program is None:
        raise ModelError(f"{where} cannot be exported")
    model: onnx.ModelProto = program.model_proto
    _strip_traces(model)
    model.graph.name = spec.network
    return model


def _fold_batch_norm(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution right before it, in place.

    The exporter folds all of them, those that stand elsewhere too; but it traces every operation thrice before that,
    and takes half as long again with these.
    """
    for block in module.modules():
        if isinstance(block, nn.Sequential):
            for index, (before, after) in enumerate(pairwise(list(block))):
                if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    block[index], block[index + 1] = fuse_conv_bn_eval(before, after), nn.Identity()


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of the machine it ran on: source paths and stack traces."""
    graph = model.graph
    del model.metadata_props[:]
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.ClearField("doc_string")
    del graph.value_info[:]
