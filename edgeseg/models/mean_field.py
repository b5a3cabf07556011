"""Mean-field inference as a layer of a network, whose weights are learned with it: CRF-RNN (Zheng et al., "Conditional
Random Fields as Recurrent Neural Networks", ICCV 2015, arXiv:1502.03240).

An iteration is the five steps of their Fig. 1 and Algorithm 1: filter, weigh, transform by the compatibility, add the
unaries, normalise. They weigh each kernel for each class by itself; here a kernel has one weight, so that what is
learned is the dense CRF of :mod:`edgeseg.refine.crf`, which then runs everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeseg._native import BilateralFilter
from edgeseg.errors import InputError
from edgeseg.spec.crf_params import CrfParams, spread

_REACH_SIGMAS = 4.0  # where the spatial Gaussian's taps end


class MeanField(nn.Module):
    """The dense CRF of :mod:`edgeseg.refine.crf` with gradients to logits, the terms' weights and the compatibility.

    The bilateral filter runs on the CPU kernels, wherever the tensors are; its backward pass is the transposed filter.
    The sigmas stay as they are given. :meth:`to_params` takes what was learned back to ``edgeseg.refine.crf``.

    Args:
        num_classes: 2 to 255.
        params: sigmas, iterations, and what the weights and the compatibility start from. One bilateral and one spatial
            term.
        accurate: several lattices instead of one.
        threads: CPU threads of the bilateral filter; 0 for all cores.

    Raises:
        InputError: another number of classes, further terms, or a compatibility for other classes.
    """

    def __init__(
        self, num_classes: int, params: CrfParams | None = None, *, accurate: bool = False, threads: int = 0
    ) -> None:
        super().__init__()
        params = params or CrfParams()
        params.check_classes(num_classes)
        self.accurate = accurate
        self.threads = threads
        self.bilateral_weight = nn.Parameter(torch.zeros(()))
        self.spatial_weight = nn.Parameter(torch.zeros(()))
        self.compatibility = nn.Parameter(torch.zeros(num_classes, num_classes))
        self.start(params)

    @torch.no_grad()
    def start(self, params: CrfParams) -> None:
        """Begin again from these.

        Raises:
            InputError: as the class.
        """
        params.check_classes(len(self.compatibility))
        if params.more_terms:
            raise InputError("the layer learns one bilateral and one spatial term", "Leave out more_terms")
        self.params = params
        self.bilateral_weight.fill_(params.bilateral_weight)
        self.spatial_weight.fill_(params.spatial_weight)
        costs = params.compatibility
        potts = 1 - torch.eye(len(self.compatibility))
        self.compatibility.copy_(potts if costs is None else torch.tensor(costs))

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Refined logits.

        Args:
            logits: (N, C, H, W) float, before softmax.
            images: (N, 3, H, W) uint8 RGB, of the same H and W.

        Returns:
            (N, C, H, W) float32 before softmax, for a cross-entropy loss; float64 where the logits are, though the
            bilateral filter rounds to float32.

        Raises:
            InputError: other shapes or dtypes.
        """
        count, classes, height, width = logits.shape
        if images.dtype != torch.uint8 or images.shape != (count, 3, height, width):
            raise InputError(
                f"images have shape {tuple(images.shape)} and dtype {images.dtype}",
                f"Pass {(count, 3, height, width)} uint8 RGB",
            )
        if classes != len(self.compatibility):
            raise InputError(f"logits have {classes} classes, the layer {len(self.compatibility)}", "Make another")
        unaries = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)
        filters = [self._bilateral_filter(image, classes) for image in images]
        blur = _Blur(spread(self.params.spatial_sigma_px, 2), (height, width), unaries)
        refined = unaries
        for _ in range(self.params.iterations):
            marginals = refined.softmax(dim=1)
            bilateral = torch.stack([_filtered(q, f) for q, f in zip(marginals, filters, strict=True)])
            messages = self.bilateral_weight * bilateral + self.spatial_weight * blur(marginals)
            refined = unaries - torch.einsum("ij,njhw->nihw", self.compatibility, messages)
        return refined

    def to_params(self) -> CrfParams:
        """The parameters as learned."""
        costs = tuple(tuple(row) for row in self.compatibility.detach().tolist())
        return replace(
            self.params,
            bilateral_weight=self.bilateral_weight.item(),
            spatial_weight=self.spatial_weight.item(),
            compatibility=costs,
        )

    def _bilateral_filter(self, image: Tensor, classes: int) -> BilateralFilter:
        term = np.array(
            [(*spread(self.params.bilateral_sigma_xy_px, 2), *spread(self.params.bilateral_sigma_rgb, 3), 1)],
            dtype=np.float32,
        )
        height, width = image.shape[1:]
        bilateral = BilateralFilter(height, width, classes, term, self.accurate, self.threads)
        bilateral.build(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))
        return bilateral


class _Filter(torch.autograd.Function):
    """The bilateral filter of one image: linear, so that its gradient is the transposed filter of the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bilateral: BilateralFilter) -> Tensor:
        ctx.bilateral = bilateral
        return _apply(bilateral, values, transposed=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _apply(ctx.bilateral, gradients[0], transposed=True), None


def _filtered(values: Tensor, bilateral: BilateralFilter) -> Tensor:
    filtered: Tensor = _Filter.apply(values, bilateral)  # type: ignore[no-untyped-call]  # torch's stubs
    return filtered


def _apply(bilateral: BilateralFilter, values: Tensor, *, transposed: bool) -> Tensor:
    array: NDArray[np.float32] = np.ascontiguousarray(values.detach().cpu().numpy(), dtype=np.float32)
    out = np.empty_like(array)
    bilateral.apply(array, out, transposed)
    return torch.from_numpy(out).to(values)


class _Blur:
    """The spatial term's filter N^-1/2 K N^-1/2, at full resolution: a product of one along y and one along x."""

    def __init__(self, sigma_px: tuple[float, ...], size: tuple[int, int], like: Tensor) -> None:
        across, down = sigma_px
        self._down = self._filter(down, size[0]).to(like)
        self._across = self._filter(across, size[1]).to(like)

    def __call__(self, values: Tensor) -> Tensor:
        """(N, C, H, W), filtered."""
        return self._down @ values @ self._across

    @staticmethod
    def _filter(sigma_px: float, count: int) -> Tensor:
        """(count, count) along one axis; it is symmetric."""
        where = torch.arange(count, dtype=torch.float64)
        apart = (where - where.unsqueeze(1)).abs()
        kernel = torch.exp(-0.5 * (apart / sigma_px) ** 2) * (apart <= max(1, round(_REACH_SIGMAS * sigma_px)))
        norm = kernel.sum(1).rsqrt()
        return norm.unsqueeze(1) * kernel * norm
