"""What a step changes: weights, their moving average, the optimizer and the scale of the loss."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from edgeseg.models.network import Network
from edgeseg.train.config import TrainConfig
from edgeseg.train.crf_rnn import LearnedCrf
from edgeseg.train.ema import warm_ema
from edgeseg.train.machine import is_compiled
from edgeseg.train.synchronised import synchronise
from edgeseg.train.task import Batch, SegmentationTask
from edgeseg.train.world import world


class Learner:
    """A task that learns, alone or with the processes of :func:`edgeseg.train.world.world`.

    Args:
        task: what is learned, on its device.
        config: the recipe.
        device: where it is.

    Attributes:
        ema: the network with the exponential moving average of the weights.
        optimizer: AdamW; weights of normalisation layers and biases do not decay, and the backbone has a learning rate
            of its own.
        scaler: of the loss, where the network computes in float16.
        crf: of a task with a mean field, what is kept of that; else None.
    """

    def __init__(self, task: SegmentationTask, config: TrainConfig, device: torch.device) -> None:
        synchronise(task)
        self.task = task
        self.config = config
        self.device = device
        self.ema = AveragedModel(task.network, multi_avg_fn=warm_ema(config.ema_decay), use_buffers=True)
        self.crf = LearnedCrf(task.mean_field, config.ema_decay) if task.mean_field is not None else None
        scaled = task.amp_dtype is torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        # A scaler asks the device in each step whether to make it, unless the optimizer does so itself: a fused one.
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=config.learning_rate, fused=scaled or None)
        self._shared: nn.Module = task

    @property
    def averaged(self) -> Network:
        """The network with the moving average of the weights."""
        network = self.ema.module
        assert isinstance(network, Network)
        return network

    def begin(self, steps: int) -> None:
        """Share the gradients, and compile the task if it is worth it; all begin with the weights of the first.

        Args:
            steps: that will be taken, as far as is known.
        """
        if world().is_shared:
            # Of 1x1 convolutions, two sets of whose strides mean the same.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
            gpu = [self.device] if self.device.type == "cuda" else None
            self._shared = DistributedDataParallel(
                self.task,
                device_ids=gpu,
                forward_sync_buffers=False,
                find_unused_parameters=self.config.freeze_backbone > 0,  # those that are frozen have no gradients
            )
        if not (self.config.qat or self.crf) and is_compiled(self.config.compile, self.device.type, steps):
            self.task.compile()

    def begin_epoch(self, epoch: int) -> None:
        """Train what is trained in an epoch, counted from 0, and leave all else as it is."""
        network = self.task.network.train()
        backbone = getattr(network, "backbone", None)
        if not isinstance(backbone, nn.Module):
            return
        frozen = epoch < self.config.freeze_backbone
        backbone.requires_grad_(not frozen)
        if frozen or self.config.freeze_bn:
            for module in backbone.modules():
                if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
                    module.eval()

    def set_rate(self, rate: float) -> None:
        """Take the next steps at a learning rate, of which groups of parameters may have a multiple."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)

    def step(self, batches: Sequence[Batch]) -> tuple[Tensor, dict[str, Tensor]]:
        """Change the weights by the gradient of the mean loss of one or more batches.

        The host does not wait for the device.

        Returns:
            that loss, and the terms that it is the sum of.
        """
        self.optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, 1):
            with self._not_sharing() if number < len(batches) else nullcontext():
                losses: dict[str, Tensor] = self._shared(*batch)
                loss = torch.stack([*losses.values()]).sum() / len(batches)
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            for name, value in losses.items():
                terms[name] = terms.get(name, 0) + value.detach() / len(batches)
        if self.config.clip_grad_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.task.parameters(), self.config.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ema.update_parameters(self.task.network)
        if self.crf is not None:
            self.crf.update()
        return torch.stack([*terms.values()]).sum(), terms

    def state(self) -> dict[str, Any]:
        """What steps change."""
        heads = self.task.heads
        crf = {"crf": self.crf.state()} if self.crf is not None else {}
        return {
            **crf,
            "network": self.task.network.state_dict(),
            "ema": self.ema.state_dict(),
            "heads": heads.state_dict() if heads is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned; whatever else it is given makes PyTorch raise."""
        self.task.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        if self.task.heads is not None:
            self.task.heads.load_state_dict(state["heads"])
        if self.crf is not None:
            self.crf.restore(state["crf"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def _not_sharing(self) -> Any:
        """A block whose gradients wait for those of the next one."""
        return self._shared.no_sync() if isinstance(self._shared, DistributedDataParallel) else nullcontext()

    def _parameter_groups(self) -> list[dict[str, object]]:
        config = self.config
        backbone = getattr(self.task.network, "backbone", None)
        inner = [*backbone.parameters()] if isinstance(backbone, nn.Module) and config.backbone_rate != 1 else []
        own = {id(p) for p in inner}
        of_crf = [self.crf.parameter_group()] if self.crf is not None else []
        own |= {id(p) for p in self.task.mean_field.parameters()} if self.task.mean_field is not None else set()
        outer = [p for p in self.task.parameters() if id(p) not in own]
        return of_crf + [
            {"params": params, "weight_decay": decay, "rate": rate}
            for parameters, rate in ((outer, 1.0), (inner, config.backbone_rate))
            for params, decay in (
                ([p for p in parameters if p.ndim > 1], config.weight_decay),
                ([p for p in parameters if p.ndim <= 1], 0.0),
            )
            if params
        ]
