"""Gradients of depthwise convolutions that are quick in bfloat16 on a CPU.

There PyTorch's own take more than half of a step of a network of depthwise separable convolutions: that of the input
with strides, and both with kernels of 5x5. The gradient of the input is a convolution as well, by the same weights
turned round, over the gradient of the output with zeros where a stride left pixels out; and as such it is quick. That
of large kernels is quick in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_Size = tuple[int, int]

_SMALL = 3
"""Kernels up to so many pixels across have the gradient of their weights in the type that they compute in."""


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise Conv2d that was changed by :func:`quicken`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, h, w)."""
        if not (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled() and x.device.type == "cpu"):
            return super().forward(x)
        assert not isinstance(self.padding, str)  # so it was found
        x = x.to(torch.get_autocast_dtype("cpu"))
        y: Tensor = DepthwiseConvolution.apply(x, self.weight, self.stride, self.padding, self.dilation)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]


def quicken(network: nn.Module) -> None:
    """Have a network's depthwise convolutions compute their gradients so, in training with mixed precision on a CPU."""
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and 1 < module.groups == module.in_channels == module.out_channels
            and _is_plain(module)
        ):
            module.__class__ = DepthwiseConv2d


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Whether zeros are around its input, and no more of them than the kernel reaches to."""
    if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
        return False
    sides = zip(convolution.padding, convolution.dilation, convolution.kernel_size, strict=True)
    return all(beyond <= spacing * (pixels - 1) for beyond, spacing, pixels in sides)


class DepthwiseConvolution(torch.autograd.Function):
    """``F.conv2d`` of (N, C, H, W) with weights (C, 1, kh, kw) of any dtype, which become x's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: _Size, padding: _Size, dilation: _Size) -> Tensor:
        """See :class:`DepthwiseConvolution`."""
        weight_dtype, weight = weight.dtype, weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding, dilation, weight_dtype
        return F.conv2d(x, weight, None, stride, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and of the weights."""
        (x, weight), (stride, padding, dilation, weight_dtype) = ctx.saved_tensors, ctx.settings
        (gradient,) = gradients
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _of_input(gradient, weight, (x.shape[2], x.shape[3]), stride, padding, dilation)
        if ctx.needs_input_grad[1]:
            small = max(weight.shape[2:]) <= _SMALL
            one, other, shape = (tensor if small else tensor.to(weight_dtype) for tensor in (gradient, x, weight))
            of_weight = torch.ops.aten.convolution_backward(
                *(one, other, shape, None, stride, padding, dilation, False, (0, 0), x.shape[1], (False, True, False))
            )[1].to(weight_dtype)
        return of_x, of_weight, None, None, None


def _of_input(gradient: Tensor, weight: Tensor, size: _Size, stride: _Size, padding: _Size, dilation: _Size) -> Tensor:
    """What the input of (height, width) ``size`` has of the gradient of the output."""
    reach = [spacing * (pixels - 1) for spacing, pixels in zip(dilation, weight.shape[2:], strict=True)]
    if stride != (1, 1):
        height, width = (pixels + 2 * beyond - far for pixels, beyond, far in zip(size, padding, reach, strict=True))
        shape = (*gradient.shape[:2], height, width)
        spread = torch.empty(
            shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last
        ).zero_()
        spread[..., :: stride[0], :: stride[1]] = gradient
        gradient = spread
    around = [far - beyond for far, beyond in zip(reach, padding, strict=True)]
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, around, dilation, weight.shape[0])
