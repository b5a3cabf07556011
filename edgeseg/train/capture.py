"""A network as the graph that torch.export sees, and which of its tensors an INT8 artifact rounds.

``edgeseg.quantize`` leaves the placing of Q/DQ pairs to ONNX Runtime's quantizer, which works on ONNX. Training works
on this graph, so the same rules stand here once more; the export compares the two and refuses where they differ.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import CodeGen

from edgeseg.models.network import Network
from edgeseg.spec.int8 import Int8Target

PREFIX = "network."
"""What stands before a network's own names of its parameters and buffers in a captured graph."""

_ATEN = torch.ops.aten
OUTPUT_AXIS = {_ATEN.conv2d.default: 0, _ATEN.conv_transpose2d.input: 1}
"""Operators with weights that are rounded, and the axis of their output channels, each of which has its own scale."""

BATCH_NORM = _ATEN.batch_norm.default
DROPOUTS = (_ATEN.dropout.default, _ATEN.feature_dropout.default)
_RELUS = (_ATEN.relu.default, _ATEN.relu_.default, _ATEN.hardtanh.default, _ATEN.hardtanh_.default)
_ADD = _ATEN.add.Tensor
_CAT = _ATEN.cat.default
_KEEP_SCALE = (_ATEN.avg_pool2d.default, _ATEN.max_pool2d.default, _ATEN.upsample_bilinear2d.vec)


def capture(network: Network, size: tuple[int, int]) -> GraphModule:
    """The graph of :meth:`Network.features` in the mode the network is in, on its device, for batches of any size.

    It takes (N, 3, H, W) float32 and returns logits and taps as one flat tuple; its parameters are the network's own.
    """
    device = next(network.parameters()).device
    batch = torch.export.Dim("batch", min=1, max=1024)
    example = torch.zeros(2, 3, *size, device=device)
    program = torch.export.export(_Features(network), (example,), dynamic_shapes=({0: batch},))
    module = program.module()
    assert isinstance(module, GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_module":  # its guards; what passes is checked elsewhere
            module.graph.erase_node(node)
        elif node.target in _KEEP_SCALE and (twin := _twin(node)) is not node:  # as where features are as few as bins
            node.replace_all_uses_with(twin)
            module.graph.erase_node(node)
    module.graph.set_codegen(CodeGen())  # a tuple goes out, not a tree
    module.recompile()
    return module


class _Features(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits, taps = self.network.features(images)
        return logits, *taps


def _twin(node: Node) -> Node:
    """The first node that does the same as this one; an exported graph has but that."""
    (source,) = node.all_input_nodes
    return next(other for other in source.users if other.target is node.target and other.args == node.args)


def quantized_tensors(graph: Graph, target: Int8Target) -> list[list[Node]]:
    """The tensors that are rounded to INT8, those with a common scale together, in the order of the graph.

    The input is not among them where one convolution alone reads it: pixels are bytes already.

    Args:
        graph: of :func:`capture`.
        target: as of ``edgeseg quantize``.
    """
    stem = stem_of(graph)
    rules = _Rules(target, pixels=stem.all_input_nodes[0] if stem is not None else None)
    for node in graph.nodes:
        rules.apply(node)
    rules.join()
    groups: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node in rules.scale_of:
            groups.setdefault(rules.scale_of[node], []).append(node)
    return list(groups.values())


class _Rules:
    """What ONNX Runtime's quantizer does, one node after the other.

    Attributes:
        scale_of: each tensor that is rounded, and the one whose scale it takes: most often itself.
    """

    def __init__(self, target: Int8Target, pixels: Node | None) -> None:
        self.scale_of: dict[Node, Node] = {}
        self._cpu = target == "cpu"
        self._pixels = pixels
        self._joined: list[list[Node]] = []

    def apply(self, node: Node) -> None:
        inputs = [_tensor(source) for source in node.all_input_nodes]
        if node.target in OUTPUT_AXIS:
            self._round(inputs[0], *([result_of(node)] if self._cpu else []))
        elif node.target is _ADD:
            self._round(*inputs, *([node] if self._cpu else []))
        elif node.target is _CAT:
            self._round(*inputs, node)
            self._joined.append([*inputs, node])
        elif node.target in _KEEP_SCALE:
            self._round(inputs[0])
            self.scale_of[node] = self.scale_of[inputs[0]]
        elif node.target in _RELUS and inputs[0] in self.scale_of:
            if self._cpu and len(inputs[0].users) == 1:  # the rounding of its result cuts off what is below zero
                del self.scale_of[inputs[0]]
            self._round(node)

    def join(self) -> None:
        """For TensorRT, what is joined has one scale."""
        for joined in [] if self._cpu else self._joined:
            common = self.scale_of[joined[-1]]
            merged = {self.scale_of[tensor] for tensor in joined}
            for tensor, source in self.scale_of.items():
                self.scale_of[tensor] = common if source in merged else source

    def _round(self, *tensors: Node) -> None:
        for tensor in tensors:
            if tensor is not self._pixels:
                self.scale_of.setdefault(tensor, tensor)


def stem_of(graph: Graph) -> Node | None:
    """The convolution that alone reads the input; None where there is none."""
    (images,) = (node for node in graph.nodes if node.op == "placeholder")
    readers = list(images.users)
    return readers[0] if len(readers) == 1 and readers[0].target in OUTPUT_AXIS else None


def normalisation_of(convolution: Node) -> Node | None:
    """The batch normalisation that alone reads a convolution's result; an exported graph has the two as one."""
    readers = list(convolution.users)
    return readers[0] if len(readers) == 1 and readers[0].target is BATCH_NORM else None


def result_of(convolution: Node) -> Node:
    """What leaves a convolution: its own result, or that of the normalisation it becomes one with."""
    return normalisation_of(convolution) or convolution


def _tensor(node: Node) -> Node:
    """The tensor that a node stands for on a device, where nothing drops out."""
    while node.target in DROPOUTS:
        (node,) = node.all_input_nodes
    return node
