"""What a step does with the gradients of its batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from quick_training import QUICK

from edgeseg.errors import InputError
from edgeseg.train.loop import Trainer


def norm_of(trainer):
    gradients = [one.grad.norm() for one in trainer.task.parameters() if one.grad is not None]
    return float(torch.stack(gradients).norm())


def test_gradients_are_scaled_down_to_the_largest_norm(shapes, tmp_path):
    free, bounded = (
        Trainer(replace(QUICK, data=shapes, output=tmp_path, clip_grad_norm=norm)) for norm in (0.0, 0.001)
    )
    for trainer in (free, bounded):
        torch.manual_seed(0)
        trainer._step([next(trainer.material.supply("cpu").epoch(1))], 1.0)
    assert norm_of(free) > 0.01
    assert norm_of(bounded) == pytest.approx(0.001, rel=1e-3)


def test_gradients_of_several_batches_make_one_step(shapes, tmp_path):
    """Without dropout and with statistics of before, the same batch twice is that batch."""
    once, twice = (Trainer(replace(QUICK, data=shapes, output=tmp_path)) for _ in range(2))
    batch = next(once.material.supply("cpu").epoch(1))
    losses = []
    for trainer, batches in ((once, [batch]), (twice, [batch, batch])):
        trainer.task.eval()
        losses.append(float(trainer._step(batches, 1.0)[0]))
    assert losses[0] == pytest.approx(losses[1])
    for one, other in zip(once.task.parameters(), twice.task.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_an_epoch_has_as_many_steps_as_it_has_groups_of_batches(shapes, tmp_path):
    steps = []
    config = replace(QUICK, data=shapes, output=tmp_path / "run", epochs=1, accumulate=2, batch_size=3)
    Trainer(config).run(on_step=lambda *step: steps.append(step[:3]))
    assert steps == [(1, 1, 2), (1, 2, 2)]
    with pytest.raises(InputError, match=r"12 images are fewer than 5 batches of 3\. Set a smaller accumulate"):
        Trainer(replace(config, accumulate=5))
