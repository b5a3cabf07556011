"""Makes the weights that `--init edge_small` and `--init edge_nano` begin with, from EfficientNet-Lite0's and pictures.

python benchmarks/backbone.py edge_small photographs drive.mp4 --output edgeseg/weights/backbones

A block takes the weights of Lite0's block of its place, of those hidden channels that matter most there. Then the whole
learns, without labels, to say what Lite0 says at strides 4, 8 and 16 of the same pictures (FitNets, Romero 2015,
arXiv:1412.6550): each feature's squared error is taken in units of its standard deviation, and those at stride 4, whose
fine noise a smaller beginning cannot follow, count a third.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

from edgeseg.data.image_files import list_images
from edgeseg.data.pictures import read_image
from edgeseg.models.backbones.base import Backbone
from edgeseg.models.backbones.inverted_residual import InvertedResidual
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.registry import build
from edgeseg.train.config import TrainConfig
from edgeseg.train.schedule import learning_rate_factor
from edgeseg.train.transfer import Transfer, start_from
from edgeseg.train.unlabelled import Tagged, UnlabelledViews
from edgeseg.video.sources.registry import open_source

TEACHER = "efficientnet_lite0"
FIRST = 3
"""Its block that the first inverted residual behind stride 4 stands for."""

WEIGHTS = (0.3, 1.0, 1.0)
"""Of the features at strides 4, 8 and 16."""

LONGER_SIDE, CROP, BATCH = 640, (240, 320), 16
RATE, WARM_UP = 3e-3, 0.05


def conv_and_norm(block: nn.Module) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Those of what :func:`edgeseg.models.blocks.conv_bn` makes."""
    conv = next(module for module in block.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in block.modules() if isinstance(module, nn.BatchNorm2d))
    return conv, norm


@torch.no_grad()
def take(own: nn.Module, theirs: nn.Module, outputs: Tensor, inputs: Tensor) -> None:
    """Give a convolution and its normalisation those channels of another's, and the middle of its kernel."""
    (conv, norm), (their_conv, their_norm) = conv_and_norm(own), conv_and_norm(theirs)
    weight = their_conv.weight[outputs] if their_conv.groups > 1 else their_conv.weight[outputs][:, inputs]
    border = (weight.shape[-1] - conv.kernel_size[0]) // 2
    conv.weight.copy_(weight[..., border : weight.shape[2] - border, border : weight.shape[3] - border])
    for key in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, key).copy_(getattr(their_norm, key)[outputs])


def take_block(own: InvertedResidual, theirs: InvertedResidual) -> None:
    """Give a block the hidden channels of another that its last convolution listens to most."""
    expand, depthwise, project = theirs.block
    loudness = conv_and_norm(depthwise)[1]
    heard = conv_and_norm(project)[0].weight.flatten(1).norm(dim=0) * (loudness.weight.abs() + loudness.bias.abs())
    hidden = heard.topk(conv_and_norm(own.block[1])[0].out_channels).indices.sort().values
    outside, inside = conv_and_norm(project)[0].out_channels, conv_and_norm(expand)[0].in_channels
    take(own.block[0], expand, hidden, torch.arange(inside))
    take(own.block[1], depthwise, hidden, hidden)
    take(own.block[2], project, torch.arange(outside), hidden)


def begun(name: str, teacher: Backbone) -> Backbone:
    """The backbone with what it can take of the teacher."""
    student = build_backbone(name, 16)
    theirs = [module for module in teacher.modules() if isinstance(module, InvertedResidual)]
    own = [module for module in student.modules() if isinstance(module, InvertedResidual)]
    for block, other in zip(own, theirs[FIRST:], strict=False):
        take_block(block, other)
    return student


def teacher() -> tuple[Backbone, Transfer]:
    """Lite0 of ImageNet to stride 16, and what is known of its weights."""
    network = build("edgenet", 1, {"backbone": TEACHER})
    done = start_from(network, TEACHER, 1)
    backbone = network.backbone
    assert isinstance(backbone, Backbone)
    return backbone.eval().requires_grad_(False), done


def read(source: Path) -> Iterator[Tensor]:
    """(3, H, W) uint8 pictures of a folder or a video, with a longer side of at most 640 pixels."""
    if source.is_dir():
        images = (read_image(path) for path in list_images(source))
    else:
        images = (frame.rgb_u8 for frame in open_source(source))
    for image in images:
        factor = min(1.0, LONGER_SIDE / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield torch.from_numpy(small).permute(2, 0, 1).contiguous()


class _Pictures(TorchDataset[Tagged]):
    """Pictures without tags."""

    def __init__(self, pictures: list[Tensor]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tagged:
        return self.pictures[index], torch.zeros(0, dtype=torch.uint8)


def batches(sources: list[Path], seed: int) -> Iterator[Tensor]:
    """(N, 3, H, W) uint8 crops of pictures and frames, zoomed, in other colours, without end."""
    pictures = _Pictures([picture for source in sources for picture in read(source)])
    height, width = CROP
    config = TrainConfig(data="", height=height, width=width, scale_min=0.5, scale_max=1.7, unlabelled_jitter=0.4)
    views = UnlabelledViews(pictures, len(pictures), config)
    chance = torch.Generator().manual_seed(seed)
    while True:
        draws = (
            torch.randint(len(pictures), (BATCH,), generator=chance),
            torch.randint(1 << 31, (BATCH,), generator=chance),
        )
        yield torch.stack([views[int(index), int(draw)][1] for index, draw in zip(*draws, strict=True)])


def imitate(name: str, sources: list[Path], steps: int, seed: int = 0) -> Backbone:
    """The backbone, trained; prints the error at each stride now and then."""
    torch.manual_seed(seed)
    master, weights = teacher()
    student = begun(name, master).train()
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=1e-4)
    shift, scale = (torch.tensor(three)[:, None, None] for three in (weights.mean, weights.std))
    spread: list[Tensor] = []
    errors: list[list[float]] = []
    for step, pictures in enumerate(islice(batches(sources, seed), steps)):
        for group in optimizer.param_groups:
            group["lr"] = RATE * learning_rate_factor("poly", step, int(WARM_UP * steps), steps)
        images = ((pictures / 255 - shift) / scale).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            said, heard = master(images)[-3:], student(images)[-3:]
        spread = spread or [one.float().std((0, 2, 3), keepdim=True).clamp_min(1e-3) for one in said]
        parts = [((a - b.float()) / s).square().mean() for a, b, s in zip(heard, said, spread, strict=True)]
        optimizer.zero_grad()
        torch.stack([weight * part for weight, part in zip(WEIGHTS, parts, strict=True)]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        errors.append([part.item() for part in parts])
        if len(errors) == 50 or step + 1 == steps:
            print(f"{step + 1} steps: " + ", ".join(f"{error:.3f}" for error in np.mean(errors, axis=0)), flush=True)
            errors.clear()
    student.eval()
    return student


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", choices=["edge_nano", "edge_small"])
    parser.add_argument("sources", nargs="+", type=Path, help="folders of pictures, and videos")
    parser.add_argument("--steps", type=int, default=1100, help="of 16 crops")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(), help="folder")
    options = parser.parse_args()
    student = imitate(options.backbone, options.sources, options.steps, options.seed)
    floats = {key: value.half().numpy() for key, value in student.state_dict().items() if value.is_floating_point()}
    np.savez_compressed(options.output / f"{options.backbone}.npz", **floats)


if __name__ == "__main__":
    main()
