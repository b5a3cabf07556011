"""Training that takes seconds."""

from __future__ import annotations

from pathlib import Path

from edgeseg.train.config import TrainConfig

QUICK = TrainConfig(
    data=Path(),
    height=64,
    width=96,
    epochs=12,
    batch_size=4,
    learning_rate=1e-2,
    schedule="cosine",
    warmup_epochs=2,
    scale_min=0.8,
    scale_max=1.25,
    color_jitter=0.1,
    loss="cross_entropy + dice",
    loss_stride=4,
    ema_decay=0.8,
    eval_every=4,
    device="cpu",
    amp="off",  # the same on every CPU
    threads=1,
)
"""Learns the shapes within 12 epochs of 3 steps."""
