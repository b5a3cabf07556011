"""Losses that stay finite, and a host that seldom asks a device for them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from quick_training import QUICK
from torch.utils._python_dispatch import TorchDispatchMode

from edgeseg.train import loop
from edgeseg.train.health import EpochLosses, NotFiniteError
from edgeseg.train.loop import Trainer


def losses_of(values, every):
    losses = EpochLosses(every)
    for value in values:
        losses.add(torch.tensor(value))
    return losses


@pytest.mark.parametrize("every", [1, 3, 20])
def test_the_mean_is_that_of_all_steps(every):
    assert losses_of([1.0, 2.0, 3.0, 4.0, 6.0], every).mean() == pytest.approx(3.2)


def test_each_term_has_a_mean():
    losses = EpochLosses(2)
    for first, second in ((1.0, 4.0), (2.0, 5.0), (6.0, 9.0)):
        losses.add(torch.tensor(first + second), {"dice": torch.tensor(first), "aux": torch.tensor(second)})
    assert losses.mean() == pytest.approx(9)
    assert losses.mean_terms() == pytest.approx({"dice": 3, "aux": 6})


def test_the_latest_is_the_last_one_looked_at():
    losses = EpochLosses(3)
    seen = []
    for value in (1.0, 2.0, 3.0, 4.0):
        losses.add(torch.tensor(value))
        seen.append(losses.latest)
    assert seen[2:] == [3.0, 3.0]
    assert all(math.isnan(value) for value in seen[:2])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("every", [1, 2, 20])
def test_the_first_step_that_is_no_number_is_named_however_seldom_one_looks(bad, every):
    with pytest.raises(NotFiniteError) as caught:
        losses_of([1.0, 2.0, bad, math.nan], every).mean()
    assert caught.value.step == 3
    assert str(caught.value.value) == str(bad)


class Asked(TorchDispatchMode):
    """Counts what makes a host wait for a device, tensors excepted that are the host's own on a GPU as well.

    These are the number of averaged steps, what it is compared with, and the optimizer's number of steps.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.trainer = trainer
        self.count = 0
        self.compared = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        out = func(*args, **(kwargs or {}))
        if name in ("eq", "gt") and args[0] is self.trainer.learner.ema.n_averaged:
            self.compared.append(out)  # kept, so that no other tensor takes its place in memory
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2"):
            steps = [state["step"] for state in self.trainer.learner.optimizer.state.values()]
            own = {tensor.data_ptr() for tensor in (self.trainer.learner.ema.n_averaged, *self.compared, *steps)}
            self.count += args[0].data_ptr() not in own
        return out


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "ohem(0.7)"},
        {"loss": "lovasz + boundary"},
        {"amp": "on"},
        {"class_weights": "none"},
        {"unlabelled": "train/images"},
        {"clip_grad_norm": 1.0},
    ],
)
def test_a_step_asks_nothing_of_the_device(shapes, tmp_path, monkeypatch, changes):
    if "unlabelled" in changes:
        changes = {"unlabelled": shapes / changes["unlabelled"]}
    monkeypatch.setattr(loop, "steps_between_looks", lambda device: 20)  # as on a GPU
    trainer = Trainer(replace(QUICK, data=shapes, output=tmp_path, **changes))
    step, asked = trainer._step, Asked(trainer)

    def watched(*batch):
        with asked:
            return step(*batch)

    monkeypatch.setattr(trainer, "_step", watched)
    batches = trainer.material.supply("cpu")
    told = []
    trainer._train_epoch(batches, None)  # an average begins otherwise than it goes on
    asked.count = 0
    losses, _ = trainer._train_epoch(batches, lambda *step: told.append(step))
    assert asked.count == 0
    assert [step[:3] for step in told] == [(1, 1, 3), (1, 2, 3), (1, 3, 3)]
    assert all(math.isnan(step[3]) for step in told)  # nobody looked
    assert math.isfinite(losses.mean())
    assert all(math.isfinite(mean) for mean in losses.mean_terms().values())
