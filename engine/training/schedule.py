"""Learning rate, momentum and accumulation as functions of the iteration.

The schedule has no state, so a resumed training continues exactly where the other one was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from engine.training.hyperparameters import TrainingHyperparameters

_MIN_WARMUP_ITERATIONS = 100


@dataclass(frozen=True)
class Schedule:
    """Learning rate, momentum and gradient accumulation at every iteration.

    Attributes:
        hyp: rates and warm-up lengths.
        epochs: length of the whole training.
        batches: batches per epoch.
        batch_size: images per batch.
        cosine: fall along a half cosine instead of a line, from `lr0` to `lr0 * lrf`.
    """

    hyp: TrainingHyperparameters
    epochs: int
    batches: int
    batch_size: int
    cosine: bool = False

    @property
    def accumulate(self) -> int:
        """Batches per optimiser step after the warm-up."""
        return max(round(self.hyp.nominal_batch / self.batch_size), 1)

    @property
    def weight_decay(self) -> float:
        """The decay for the batch that is really accumulated, so that it does not depend on `batch_size`."""
        return self.hyp.weight_decay * self.batch_size * self.accumulate / self.hyp.nominal_batch

    @property
    def warmup(self) -> int:
        """Iterations of warm-up; at least 100, and none when `warmup_epochs` is 0."""
        if self.hyp.warmup_epochs == 0:
            return 0
        return max(round(self.hyp.warmup_epochs * self.batches), _MIN_WARMUP_ITERATIONS)

    def factor(self, epoch: int) -> float:
        """What `lr0` is multiplied by in an epoch."""
        progress = epoch / self.epochs
        if self.cosine:
            progress = (1 - math.cos(math.pi * progress)) / 2
        return 1 - progress * (1 - self.hyp.lrf)

    @property
    def updates(self) -> int:
        """Optimiser steps of the whole training, as after the warm-up."""
        return self.epochs * math.ceil(self.batches / self.accumulate)

    def accumulate_at(self, iteration: int) -> int:
        """Batches per optimiser step at an iteration: grows from 1 during the warm-up."""
        if iteration >= self.warmup:
            return self.accumulate
        return max(1, round(_interpolate(iteration / self.warmup, 1, self.hyp.nominal_batch / self.batch_size)))

    def apply(self, optimizer: torch.optim.Optimizer, epoch: int, iteration: int) -> None:
        """Sets rate and momentum of every group for an iteration (counted from the start of the training)."""
        target = self.hyp.lr0 * self.factor(epoch)
        progress = min(iteration / self.warmup, 1.0) if self.warmup else 1.0
        momentum = _interpolate(progress, self.hyp.warmup_momentum, self.hyp.momentum)
        for group in optimizer.param_groups:
            start = self.hyp.warmup_bias_lr if group["is_bias"] else 0.0
            group["lr"] = _interpolate(progress, start, target) * group["rate_factor"]
            if "momentum" in group:
                group["momentum"] = momentum


def extension_line(schedule: Schedule, before: int, done: int) -> str:
    """What another length does to the learning rate, in words.

    Args:
        schedule: of the new length.
        before: epochs of the length that was planned.
        done: epochs that are complete.
    """
    last, following, final = (
        schedule.hyp.lr0 * factor
        for factor in (
            replace(schedule, epochs=before).factor(done - 1),
            schedule.factor(done),
            schedule.factor(schedule.epochs - 1),
        )
    )
    return (
        f"the training has {schedule.epochs} epochs in place of {before}: the learning rate goes from {last:.3g} in "
        f"epoch {done} to {following:.3g} in epoch {done + 1}, and comes to {final:.3g} in epoch {schedule.epochs}, "
        "as in a training that was that long from the beginning"
    )


def _interpolate(progress: float, start: float, end: float) -> float:
    return (1 - progress) * start + progress * end  # exact at both ends
