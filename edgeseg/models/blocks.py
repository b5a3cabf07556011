"""Building blocks that more than one network shares."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def scaled(channels: int, width: float) -> int:
    """Channels times a width multiplier, to the nearest multiple of 8 and at least 8, as MobileNet counts them."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    *,
    dilation: int = 1,
    activation: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution of the same padding without bias, batch normalisation, and what ``activation`` makes, if anything."""
    padding = dilation * (kernel // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, *, dilation: int = 1
) -> nn.Sequential:
    """Convolution of the same padding without bias, batch normalisation, ReLU."""
    size = (in_channels, out_channels, kernel, stride, groups)
    return conv_bn(*size, dilation=dilation, activation=lambda: nn.ReLU(inplace=True))


def separable_conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Depthwise separable convolution: 3x3 depthwise, then 1x1 pointwise, each with BN and ReLU."""
    return nn.Sequential(
        conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels),
        conv_bn_relu(in_channels, out_channels, 1),
    )


def resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of (N, C, H, W) to (height, width), pixel centres aligned as edgeseg's own kernel aligns them."""
    return F.interpolate(features, size, mode="bilinear", align_corners=False)


def grid_pool(features: Tensor, bins: int) -> Tensor:
    """Average pooling of (N, C, H, W) to (N, C, bins, bins) with one fixed window and stride.

    Adaptive pooling uses windows of several sizes where ``bins`` does not divide the size, which neither ONNX nor
    TensorRT can say. One window of ``size - (bins - 1) * stride`` pixels covers everything too, and equals adaptive
    pooling where ``bins`` divides the size. Features smaller than ``bins`` are pooled to what there is.
    """
    height, width = features.shape[-2:]
    bins_y, bins_x = min(bins, height), min(bins, width)
    stride_y, stride_x = height // bins_y, width // bins_x
    window = (height - (bins_y - 1) * stride_y, width - (bins_x - 1) * stride_x)
    return F.avg_pool2d(features, window, (stride_y, stride_x))


class PyramidPooling(nn.Module):
    """The pyramid pooling module of PSPNet: averages over 1, 2, 3 and 6 bins beside the features themselves."""

    def __init__(
        self, channels: int, out_channels: int, bins: tuple[int, ...] = (1, 2, 3, 6), *, kernel: int = 1
    ) -> None:
        super().__init__()
        self.bins = bins
        self.branches = nn.ModuleList(conv_bn_relu(channels, channels // len(bins), 1) for _ in bins)
        self.project = conv_bn_relu(2 * channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H, W)."""
        size = (x.shape[2], x.shape[3])
        pyramid = [
            resize(branch(grid_pool(x, bins)), size) for bins, branch in zip(self.bins, self.branches, strict=True)
        ]
        y: Tensor = self.project(torch.cat([x, *pyramid], dim=1))
        return y


def bn_prelu(channels: int) -> nn.Sequential:
    """Batch normalisation and a PReLU with a slope for each channel."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU(channels))


def conv_bn_prelu(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, *, dilation: int = 1
) -> nn.Sequential:
    """Convolution of the same padding without bias, batch normalisation, PReLU with a slope for each channel."""
    size = (in_channels, out_channels, kernel, stride, groups)
    return conv_bn(*size, dilation=dilation, activation=lambda: nn.PReLU(out_channels))


def set_bn_epsilon(network: nn.Module, epsilon: float) -> None:
    """Let the batch normalisation of a whole network add another epsilon to the variance than PyTorch's 1e-5."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon


def halve(images: Tensor) -> Tensor:
    """Average pooling of (N, C, H, W) to (N, C, H / 2, W / 2), rounded up, as a 3x3 convolution of stride 2 would."""
    return F.avg_pool2d(images, 3, stride=2, padding=1)


def channel_shuffle(features: Tensor, groups: int) -> Tensor:
    """The first channels of all groups, then the second ones, and so on (ShuffleNet, Zhang 2018, arXiv:1707.01083)."""
    n, c, h, w = features.shape
    return features.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def factorised_conv(channels: int, dilation: int = 1, *, columns_first: bool = True) -> nn.Sequential:
    """A 3x3 convolution as one along columns and one along rows, ReLU between them, and batch normalisation (ERFNet).

    Args:
        channels: before and behind it.
        dilation: of both convolutions.
        columns_first: 3x1, then 1x3; else the other way round.
    """
    along_columns = nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1))
    along_rows = nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation))
    first, second = (along_columns, along_rows) if columns_first else (along_rows, along_columns)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.BatchNorm2d(channels))


class Downsampler(nn.Module):
    """A 3x3 convolution of stride 2 beside max pooling, concatenated, batch normalisation and an activation (ERFNet).

    Args:
        in_channels: which the pooling keeps.
        out_channels: of both; the convolution makes what is missing.
        bias: of the convolution.
        activation: after all; None for ReLU.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, bias: bool = True, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1, bias=bias)
        self.pool = nn.MaxPool2d(2, stride=2, ceil_mode=True)  # of odd sizes as large as what the convolution makes
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = activation or nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / 2, W / 2), rounded up."""
        y: Tensor = self.activation(self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1)))
        return y


def window_argmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of the 2x2 windows of (N, C, H, W), and a 0/1 mask (N, C, H/2, W/2, 4) of where they were.

    The mask says what MaxPool2d's indices say, in operations that ONNX and TensorRT both have. Half of an odd size is
    rounded up: what lies beyond repeats the last row and column, which come first where both are the maximum.
    """
    if x.shape[2] % 2 or x.shape[3] % 2:
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
    maxima, position = windows.max(dim=-1)
    return maxima, (position.unsqueeze(-1) == torch.arange(4, device=x.device)).to(x.dtype)


def unpool(x: Tensor, mask: Tensor) -> Tensor:
    """(N, C, h, w) placed where the maxima were: (N, C, 2h, 2w), zero elsewhere."""
    n, c, h, w = x.shape
    spread = x.unsqueeze(-1) * mask
    return spread.reshape(n, c, h, w, 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(n, c, 2 * h, 2 * w)


def cropped(features: Tensor, size: tuple[int, int]) -> Tensor:
    """The upper left (height, width) ``size`` of (N, C, H, W): what was added where a size was rounded up comes off."""
    return features[..., : size[0], : size[1]]


def he_normal(module: nn.Module) -> None:
    """Give the convolutions of a module random weights under which features do not fade, and biases of 0.

    That is the initialisation of He, Zhang, Ren, Sun ("Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852, Eq.
    10) for layers with ReLU. PyTorch's own makes features smaller from layer to layer where no batch normalisation
    brings them back.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class GlobalAverage(nn.Module):
    """The average of the picture, (N, C, H, W) to (N, C, 1, 1).

    nn.AdaptiveAvgPool2d(1) is the same, and in an exported graph five operators more, which look up places.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return grid_pool(x, 1)


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole picture says of them (Hu, Shen, Sun, CVPR 2018, arXiv:1709.01507).

    Args:
        channels: of the features.
        squeezed: to which their averages are made fewer.
        gate: makes the last layer, between 0 and 1.
    """

    def __init__(self, channels: int, squeezed: int, gate: Callable[[], nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            GlobalAverage(),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        weights: Tensor = self.weigh(x)
        return x * weights


def atrous_separable_conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3 convolution with holes, then 1x1 pointwise with BN and ReLU, and nothing between them."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, 1, dilation, dilation, in_channels, bias=False),
        conv_bn_relu(in_channels, out_channels, 1),
    )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling as in DeepLab v3: 1x1, 3x3 of several rates, and the average of the picture.

    Chen 2017, arXiv:1706.05587, section 3.3 and Fig. 5; with depthwise separable convolutions Chen 2018,
    arXiv:1802.02611, section 3.1.

    Args:
        in_channels: of the features.
        out_channels: of each branch, and of what they are joined to.
        rates: dilation of each 3x3 convolution.
        separable: whether those are depthwise separable.
    """

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...], *, separable: bool = False) -> None:
        super().__init__()
        size = (in_channels, out_channels)
        atrous = [
            atrous_separable_conv(*size, rate) if separable else conv_bn_relu(*size, dilation=rate) for rate in rates
        ]
        self.branches = nn.ModuleList([conv_bn_relu(*size, 1), *atrous])
        self.whole = conv_bn_relu(*size, 1)
        self.project = nn.Sequential(conv_bn_relu((2 + len(rates)) * out_channels, out_channels, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        whole = resize(self.whole(grid_pool(x, 1)), (x.shape[2], x.shape[3]))
        y: Tensor = self.project(torch.cat([*(branch(x) for branch in self.branches), whole], dim=1))
        return y


def atrous_rates(output_stride: int) -> tuple[int, ...]:
    """The rates of ASPP that see as far at any output stride: 6, 12 and 18 at 16, twice as much at 8."""
    return tuple(16 * rate // output_stride for rate in (6, 12, 18))


def biased_conv_bn_relu(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """As :func:`conv_bn_relu`, with the bias before batch normalisation that some reference implementations keep."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def bn_relu_conv(
    in_channels: int, out_channels: int, kernel: int = 1, groups: int = 1, *, bias: bool = False
) -> nn.Sequential:
    """Batch normalisation, ReLU, and convolution of the same padding, in this order (He 2016, arXiv:1603.05027)."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=bias),
    )


class PooledScales(nn.Module):
    """Features, and averages over ever more of them, each after a 1x1 convolution (DDRNet, arXiv:2101.06085, Fig. 5).

    The windows are 5, 9 and 17 pixels wide at strides of 2, 4 and 8, then the whole; zeros beyond the border count.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.own = bn_relu_conv(in_channels, out_channels)
        self.pooled = nn.ModuleList(bn_relu_conv(in_channels, out_channels) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, in, H, W) to (N, out, H, W) of its own, and of the four averages, resized to it."""
        averages = [*(F.avg_pool2d(x, 2 * stride + 1, stride, stride) for stride in (2, 4, 8)), grid_pool(x, 1)]
        size = (x.shape[2], x.shape[3])
        return self.own(x), [resize(conv(one), size) for conv, one in zip(self.pooled, averages, strict=True)]
