"""How much of the picture a logit can see: the theoretical receptive field, computed from a network's operations.

The rules are those of Araujo, Norris, Sim ("Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021). Where neighbours are j pixels of the picture apart, a window of k positions that lie d
apart sees d (k - 1) j pixels more, and behind a stride of s neighbours are s j pixels apart. Where paths meet, the
longest counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from edgeseg.models.seen import (
    Run,
    Seen,
    Window,
    broadcast,
    joined,
    plain,
    reshaped,
    summed,
    windowed,
    with_size,
)
from edgeseg.models.trace import Operation, Trace


class ReceptiveField(NamedTuple):
    """What of the picture one logit can see.

    Attributes:
        height, width: pixels, on the paths that see no more than a part of the picture.
        whole: whether it also sees the whole picture, by an average over all of it, say, or by attention to all of it.
    """

    height: int
    width: int
    whole: bool


def receptive_field(passed: Trace) -> ReceptiveField | None:
    """The receptive field of the logits; None where an operation is passed whose field is not known here.

    Bilinear resizing sees two positions, and a transposed convolution as many as its kernel covers at once. Windows
    that grow with the picture are as large as at the size that was traced.
    """
    way = _Way(passed.picture)
    for operation in passed.operations:
        if not way.follow(operation):
            return None
    logits = way.of(passed.logits)
    return ReceptiveField(math.ceil(logits.field[0]), math.ceil(logits.field[1]), all(logits.whole))


class _Way:
    """What all tensors have seen, as far as the picture's way through the network has been followed."""

    def __init__(self, picture: Tensor) -> None:
        height, width = picture.shape[2:]
        self.picture = (height, width)
        dimensions = ((), plain(3), (Run(height, (height, 0)),), (Run(width, (0, width)),))
        self._seen = {id(picture): Seen(dimensions)}

    def of(self, tensor: Tensor) -> Seen:
        """What a tensor has seen; a constant has seen nothing."""
        nothing = Seen(tuple(plain(count) for count in tensor.shape), (0, 0))
        return self._seen.get(id(tensor), nothing)

    def follow(self, operation: Operation) -> bool:
        """One operation further, unless it is none of those that are known."""
        if not any(id(tensor) in self._seen for tensor in operation.inputs):
            return True  # it is made of weights and constants
        rule = _RULES.get(operation.name, _pointwise if operation.is_pointwise else None)
        results = None if rule is None else rule(self, operation)
        if results is None:
            return False
        self._seen.update((id(tensor), seen) for tensor, seen in zip(operation.outputs, results, strict=False))
        return True


_Rule = Callable[[_Way, Operation], "list[Seen] | None"]
"""What the results of an operation have seen; None where that is not known."""


def _pointwise(way: _Way, operation: Operation) -> list[Seen]:
    all_seen = [way.of(tensor) for tensor in operation.inputs]
    return [joined(all_seen, broadcast(all_seen, operation.outputs[0].shape))]


def _norm(way: _Way, operation: Operation) -> list[Seen]:
    """Statistics of the last dimensions, as in layer normalisation, or of all but the first, as in the others."""
    seen = way.of(operation.args[0])
    last = len(seen.dimensions)
    first = last - len(operation.args[1]) if operation.name == "native_layer_norm" else 1
    return [summed(seen, range(first, last), way.picture)]


def _batch_norm(way: _Way, operation: Operation) -> list[Seen]:
    is_of_the_batch = operation.args[5]
    return _norm(way, operation) if is_of_the_batch else _pointwise(way, operation)


def _convolution(way: _Way, operation: Operation) -> list[Seen]:
    x, weight, _, strides, _, dilations, transposed, *_ = operation.args
    windows = [Window(*each) for each in zip(weight.shape[2:], strides, dilations, strict=True)]
    if transposed:
        reach = [each.dilation * (each.taps - 1) + 1 for each in windows]
        windows = [Window(math.ceil(r / each.stride), 1 / each.stride) for r, each in zip(reach, windows, strict=True)]
    _, channels, *sizes = operation.outputs[0].shape
    seen = windowed(summed(way.of(x), [1], way.picture), windows, sizes, way.picture)
    batch, _, *spatial = seen.dimensions
    return [replace(seen, dimensions=(batch, plain(channels), *spatial))]


def _pool(way: _Way, operation: Operation) -> list[Seen]:
    _, kernels, *more = operation.args
    strides = more[0] if more and more[0] else kernels
    dilations = more[2] if operation.name.startswith("max") and len(more) > 2 else (1,)
    windows = [Window(*(_item(each, axis) for each in (kernels, strides, dilations))) for axis in (0, 1)]
    return _behind_windows(way, operation, windows)


def _adaptive_pool(way: _Way, operation: Operation) -> list[Seen]:
    sizes = zip(operation.args[0].shape[-2:], operation.outputs[0].shape[-2:], strict=True)
    return _behind_windows(way, operation, [Window(math.ceil(many / few), many / few) for many, few in sizes])


def _resize(way: _Way, operation: Operation) -> list[Seen]:
    sizes = zip(operation.args[0].shape[-2:], operation.outputs[0].shape[-2:], strict=True)
    taps = {"upsample_bilinear2d": 2, "upsample_bicubic2d": 4}.get(operation.name, 1)
    windows = [Window(1 if before == after else min(taps, before), before / after) for before, after in sizes]
    return _behind_windows(way, operation, windows)


def _shuffle(way: _Way, operation: Operation) -> list[Seen]:
    """Pixels that become channels, window by window, or channels that become pixels."""
    x, factor = operation.args
    inwards = operation.name == "pixel_unshuffle"
    (seen,) = _behind_windows(way, operation, [Window(factor, factor) if inwards else Window(1, 1 / factor)] * 2)
    *before, _, down, across = seen.dimensions
    channels = operation.outputs[0].shape[-3]
    return [replace(summed(seen, [x.ndim - 3], way.picture), dimensions=(*before, plain(channels), down, across))]


def _behind_windows(way: _Way, operation: Operation, windows: Sequence[Window]) -> list[Seen]:
    made = operation.outputs[0]
    seen = windowed(way.of(operation.args[0]), windows, made.shape[-2:], way.picture)
    return [seen] * len(operation.outputs)


def _product(way: _Way, operation: Operation) -> list[Seen]:
    """Of matrices: a sum over the last dimension of the one and the last but one of the other."""
    left, right = (way.of(tensor) for tensor in operation.inputs[-2:])
    left, right = summed(left, [-1], way.picture), summed(right, [-2], way.picture)
    batches = [replace(one, dimensions=one.dimensions[:-2]) for one in (left, right)]
    batch = broadcast(batches, operation.outputs[0].shape[:-2])
    return [joined([left, right], (*batch, left.dimensions[-2], right.dimensions[-1]))]


def _reduce(way: _Way, operation: Operation) -> list[Seen]:
    x, *more = operation.args
    given = more[0] if more and more[0] is not None else range(x.ndim)
    places = {place % x.ndim for place in ([given] if isinstance(given, int) else given or range(x.ndim))}
    seen = summed(way.of(x), places, way.picture)
    keeps = operation.outputs[0].ndim == x.ndim
    dimensions = [() if place in places else one for place, one in enumerate(seen.dimensions)]
    kept = tuple(one for place, one in enumerate(dimensions) if keeps or place not in places)
    return [replace(seen, dimensions=kept)] * len(operation.outputs)


def _softmax(way: _Way, operation: Operation) -> list[Seen]:
    x, place, *_ = operation.args
    return [summed(way.of(x), [place], way.picture)]


def _concatenate(way: _Way, operation: Operation) -> list[Seen]:
    tensors, *more = operation.args
    made = operation.outputs[0]
    place = (more[0] if more else 0) % made.ndim
    all_seen = [way.of(tensor) for tensor in tensors]
    dimensions = list(broadcast(all_seen, made.shape))
    longest = broadcast(all_seen, tensors[0].shape)[place]
    dimensions[place] = with_size(longest, made.shape[place])
    return [joined(all_seen, tuple(dimensions))]


def _stack(way: _Way, operation: Operation) -> list[Seen]:
    tensors, *more = operation.args
    place = (more[0] if more else 0) % (tensors[0].ndim + 1)
    all_seen = [way.of(tensor) for tensor in tensors]
    dimensions = broadcast(all_seen, tensors[0].shape)
    return [joined(all_seen, (*dimensions[:place], plain(len(tensors)), *dimensions[place:]))]


def _view(way: _Way, operation: Operation) -> list[Seen] | None:
    seen, made = way.of(operation.args[0]), operation.outputs[0]
    dimensions = reshaped(seen.dimensions, made.shape)
    return None if dimensions is None else [replace(seen, dimensions=dimensions)]


def _permute(way: _Way, operation: Operation) -> list[Seen]:
    x, *more = operation.args
    order = list(range(x.ndim))
    if operation.name == "permute":
        order = [place % x.ndim for place in more[0]]
    elif x.ndim > 1:
        one, other = more or (0, 1)
        order[one], order[other] = order[other], order[one]
    seen = way.of(x)
    return [replace(seen, dimensions=tuple(seen.dimensions[place] for place in order))]


def _cut(way: _Way, operation: Operation) -> list[Seen]:
    """Parts of a tensor, or more around it."""
    seen = way.of(operation.args[0])
    along, stride = -1, 1
    if operation.name == "slice" and len(operation.args) > 4:
        along, stride = operation.args[1] % len(seen.dimensions), operation.args[4]

    def cut(shape: Sequence[int]) -> Seen:
        places = enumerate(zip(seen.dimensions, shape, strict=True))
        made = (with_size(one, count, stride if place == along else 1) for place, (one, count) in places)
        return replace(seen, dimensions=tuple(made))

    return [cut(tensor.shape) for tensor in operation.outputs]


def _select(way: _Way, operation: Operation) -> list[Seen]:
    x, *more = operation.args
    place = (more[0] if more else 0) % x.ndim
    seen = way.of(x)
    seen = replace(seen, dimensions=(*seen.dimensions[:place], *seen.dimensions[place + 1 :]))
    return [seen] * len(operation.outputs)


def _constant(way: _Way, operation: Operation) -> list[Seen]:
    """As large as a tensor, and made of nothing that it holds."""
    return []


def _item(values: int | Sequence[int], axis: int) -> int:
    """Of what may be said once for both axes."""
    return values if isinstance(values, int) else values[axis % len(values)]


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("clone", "detach", "alias", "_to_copy", "expand", "rsub", "floor_divide"), _pointwise),
    "convolution": _convolution,
    "native_batch_norm": _batch_norm,
    **dict.fromkeys(("native_layer_norm", "native_group_norm"), _norm),
    **dict.fromkeys(("avg_pool2d", "max_pool2d_with_indices", "max_pool2d"), _pool),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive_pool),
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"), _resize),
    **dict.fromkeys(("_upsample_nearest_exact2d", "max_unpool2d"), _resize),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _shuffle),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), _product),
    **dict.fromkeys(("sum", "mean", "amax", "amin", "max", "min", "argmax", "linalg_vector_norm"), _reduce),
    **dict.fromkeys(("_softmax", "_log_softmax"), _softmax),
    "cat": _concatenate,
    "stack": _stack,
    **dict.fromkeys(("view", "_unsafe_view", "unsqueeze", "squeeze"), _view),
    **dict.fromkeys(("permute", "transpose", "t"), _permute),
    **dict.fromkeys(("slice", "split", "split_with_sizes", "unsafe_split"), _cut),
    **dict.fromkeys(("constant_pad_nd", "replication_pad2d", "reflection_pad2d"), _cut),
    **dict.fromkeys(("select", "unbind"), _select),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones"), _constant),
}
"""By the names that ATen has for them; what is pointwise needs none."""
