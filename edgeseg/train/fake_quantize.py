"""A network in training that rounds as its INT8 artifact will: torchao's fake quantization, placed by our rules.

torchao's PT2E flow takes the captured graph, an annotation of which tensors to round, and trains batch normalisation
folded into the weights, which is how they are rounded on a device.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeseg.errors import MissingDependencyError
from edgeseg.installing import pip_install
from edgeseg.models.network import Features, Network
from edgeseg.spec.int8 import INT8_LEVELS, Int8Target
from edgeseg.train.capture import BATCH_NORM, DROPOUTS, OUTPUT_AXIS, PREFIX, capture, quantized_tensors


@contextlib.contextmanager
def _unsaid(*loggers: str) -> Iterator[None]:
    """Keep warnings of these loggers back while a library is imported; whoever listens to them does so afterwards."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


try:
    with _unsaid("torchao", "torch.utils._pytree"):  # of kernels for GPUs that nothing here uses
        from torchao.quantization.pt2e import (
            FakeQuantize,
            MovingAverageMinMaxObserver,
            MovingAveragePerChannelMinMaxObserver,
        )
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
        from torchao.quantization.pt2e.quantizer import (
            QuantizationAnnotation,
            QuantizationSpec,
            Quantizer,
            SharedQuantizationSpec,
        )
except ImportError as error:
    raise MissingDependencyError(
        f"the package torchao cannot be used ({error})", f"Run: {pip_install('edgeseg[qat]')}"
    ) from None

AVERAGING = 0.01
"""How far a range moves in a step to what it sees."""

_ANNOTATION = "quantization_annotation"

BATCH_NORM_TRAINING, BATCH_NORM_MOMENTUM = 5, 6
DROPOUT_TRAINING = 2
"""Positions among the arguments of the operators."""

MOMENTUM = 0.02
"""How far the means and variances of batch normalisation move in a step. PyTorch's 0.1 would leave, where they are
frozen, those of the last ten batches in place of those that the network was trained to."""


class FakeQuantized(Network):
    """A network whose weights and intermediate results are rounded as its INT8 artifact for a target rounds them.

    Its parameters are those of the network it is made of, with the same shapes: see :meth:`float_state`.
    """

    def __init__(self, network: Network, target: Int8Target, size: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.size_multiple, self.tap_channels = network.stride, network.size_multiple, network.tap_channels
        self._names = tuple(network.state_dict())
        graph = capture(network.train(), size)
        groups = quantized_tensors(graph.graph, target)
        self.graph = prepare_qat_pt2e(graph, _Annotator(groups, target))
        for node in self.graph.graph.nodes:
            if node.target is BATCH_NORM:
                node.update_arg(BATCH_NORM_MOMENTUM, MOMENTUM)
        self.statistics_frozen = False
        self.ranges_frozen = False
        self.train()

    def features(self, images: Tensor) -> Features:
        """As those of the network, rounded.

        Raises:
            FloatingPointError: a value is no finite number, so that its range is none.
        """
        logits, *taps = self._run(images)
        return Features(logits, tuple(taps))

    def train(self, mode: bool = True) -> FakeQuantized:
        """In training, batch statistics and dropout are on and ranges follow what they see, unless they are frozen."""
        self.training = mode  # not by nn.Module.train, which a captured graph refuses: its modes are arguments
        flags = {BATCH_NORM: (BATCH_NORM_TRAINING, mode and not self.statistics_frozen)}
        flags |= dict.fromkeys(DROPOUTS, (DROPOUT_TRAINING, mode))
        for node in self.graph.graph.nodes:
            if node.target in flags:
                node.update_arg(*flags[node.target])
        self.graph.recompile()
        for one in self._fake_quantizers():
            one.enable_observer(mode and not self.ranges_frozen)
        return self

    def freeze(self, *, statistics: bool, ranges: bool) -> None:
        """Say what stays as it is from now on: the means and variances of batch normalisation, the learned ranges."""
        self.statistics_frozen, self.ranges_frozen = statistics, ranges
        self.train(self.training)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Begin with the ranges that (N, 3, H, W) float32 images reach without rounding.

        Raises:
            FloatingPointError: as :meth:`features`.
        """
        was_training = self.training
        self.eval()
        with self._observing_only():
            for number, images in enumerate(batches, 1):
                for one in self._fake_quantizers():
                    one.activation_post_process.averaging_constant = 1 / number  # the mean of all, for a beginning
                self._run(images)
        for one in self._fake_quantizers():
            one.activation_post_process.averaging_constant = AVERAGING
        self.train(was_training)

    def ranges(self) -> list[tuple[float, float]]:
        """Lowest and highest value that each group of :func:`quantized_tensors` can have."""
        return [one.range() for one in sorted(self._fake_quantizers(), key=lambda one: one.group)]

    def float_state(self) -> dict[str, Tensor]:
        """The state of the network this was made of, trained further, without any rounding."""
        state = self.graph.state_dict()
        return {name: state[PREFIX + name] for name in self._names}

    def _run(self, images: Tensor) -> tuple[Tensor, ...]:
        try:
            tensors: tuple[Tensor, ...] = self.graph(images)
        except AssertionError as error:  # so torchao's observers say it
            raise FloatingPointError(str(error)) from None
        return tensors

    def _fake_quantizers(self) -> list[_RangeFakeQuantize]:
        return [module for module in self.graph.modules() if isinstance(module, _RangeFakeQuantize)]

    @contextlib.contextmanager
    def _observing_only(self) -> Iterator[None]:
        rounding = [module for module in self.graph.modules() if isinstance(module, FakeQuantize)]
        for one in rounding:
            one.enable_observer()
            one.disable_fake_quant()
        try:
            yield
        finally:
            for one in rounding:
                one.enable_fake_quant()


class _Annotator(Quantizer):  # type: ignore[misc]  # torchao has no types
    """Tells torchao which tensors to round and how."""

    def __init__(self, groups: list[list[Node]], target: Int8Target) -> None:
        super().__init__()
        self.groups = groups
        self.target = target

    def annotate(self, model: GraphModule) -> GraphModule:
        for number, (first, *others) in enumerate(self.groups):
            self._annotate_output(first, _activation(number, 1 + len(others), self.target))
            for node in others:
                self._annotate_output(node, SharedQuantizationSpec(first))
        for node in model.graph.nodes:
            if node.target in OUTPUT_AXIS:
                annotation = node.meta.setdefault(_ANNOTATION, QuantizationAnnotation(_annotated=True))
                images, weight = node.args[:2]
                annotation.input_qspec_map = {images: None, weight: _weight(OUTPUT_AXIS[node.target], self.target)}
        return model

    def validate(self, model: GraphModule) -> None:
        pass

    @staticmethod
    def _annotate_output(node: Node, spec: object) -> None:
        node.meta[_ANNOTATION] = QuantizationAnnotation(output_qspec=spec, _annotated=True)


class _RangeObserver(MovingAverageMinMaxObserver):  # type: ignore[misc]  # torchao has no types
    """The moving average of what the tensors of a group reach together in an image.

    That of a batch would grow with its size, and with it the steps of all values for the sake of a few.
    """

    def __init__(self, *, tensors: int, **others: object) -> None:
        super().__init__(**others)
        self.tensors = tensors
        self._extremes: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self._extremes.append(torch.aminmax(x.detach().flatten(1), dim=1))
        complete = len(self._extremes) == self.tensors
        if complete or not torch.isfinite(self.min_val):
            low, high = (torch.stack(values) for values in zip(*self._extremes, strict=True))
            super().forward(torch.stack([low.amin(dim=0).mean(), high.amax(dim=0).mean()]))
        if complete:
            self._extremes = []
        return x


class _RangeFakeQuantize(FakeQuantize):  # type: ignore[misc]  # torchao has no types
    """Rounds the tensors of one group."""

    def __init__(self, *, group: int, **others: object) -> None:
        super().__init__(observer=_RangeObserver, **others)
        self.group = group

    def range(self) -> tuple[float, float]:
        scale, zero_point = float(self.scale), int(self.zero_point)
        return (self.quant_min - zero_point) * scale, (self.quant_max - zero_point) * scale


def _activation(group: int, tensors: int, target: Int8Target) -> QuantizationSpec:
    make = _RangeFakeQuantize.with_args(group=group, tensors=tensors)
    levels = INT8_LEVELS[target]
    dtype, scheme = (
        (torch.int8, torch.per_tensor_symmetric) if levels.is_symmetric else (torch.uint8, torch.per_tensor_affine)
    )
    return QuantizationSpec(dtype, make, levels.lowest, levels.highest, scheme)


def _weight(axis: int, target: Int8Target) -> QuantizationSpec:
    """A scale per channel, always that of the weights as they are."""
    make = FakeQuantize.with_args(observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0)
    largest = INT8_LEVELS[target].largest_weight
    return QuantizationSpec(torch.int8, make, -largest, largest, torch.per_channel_symmetric, axis)
