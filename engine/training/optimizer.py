"""The optimiser, its schedule, and the moving average of the weights.

The schedule has no state: rate, momentum and accumulation follow from the iteration number alone, so a resumed training
continues exactly where the other one was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from engine.errors import EngineError
from engine.training.hyperparameters import TrainingHyperparameters

OPTIMIZERS = ("SGD", "Adam", "AdamW")
_MIN_WARMUP_ITERATIONS = 100
_EMA_DECAY, _EMA_RAMP = 0.9999, 2000.0
_EMA_RAMP_SHARE = 1 / 3  # of all updates, where that is shorter


def build_optimizer(
    model: nn.Module, name: str, hyp: TrainingHyperparameters, weight_decay: float, *, pretrained: bool = False
) -> torch.optim.Optimizer:
    """An optimiser whose groups separate biases, other vectors (normalisation) and kernels, which alone are decayed.

    A block's `rate_factors` (own parameter or child -> factor) set the pace of its parameters. Under SGD, whose steps
    follow the gradients' size, a block may state other ones for a training that starts from pretrained kernels:
    `finetune_rate_factors`. Biases among those warm up from 0 like kernels; `warmup_bias_lr` is for the biases of a
    head that has to learn how rare objects are.

    Raises:
        EngineError: unknown name.
    """
    if name not in OPTIMIZERS:
        raise EngineError(f"--optimizer {name}: unknown; use one of {', '.join(OPTIMIZERS)}")
    finetune = pretrained and name == "SGD"
    factors = _rate_factors(model, "finetune_rate_factors" if finetune else "rate_factors")
    members: dict[tuple[str, float], list[Tensor]] = {}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_bias = key.endswith("bias") and not (finetune and key in factors)
            kind = "bias" if is_bias else "vector" if parameter.ndim <= 1 else "kernel"
            members.setdefault((kind, factors.get(key, 1.0)), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": weight_decay if kind == "kernel" else 0.0,
            "is_bias": kind == "bias",
            "rate_factor": factor,
        }
        for (kind, factor), parameters in sorted(members.items(), key=lambda member: member[0])
    ]
    if name == "SGD":
        return torch.optim.SGD(groups, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0)
    kind_of_adam = torch.optim.Adam if name == "Adam" else torch.optim.AdamW
    return kind_of_adam(groups, lr=hyp.lr0, betas=(hyp.momentum, 0.999))


def _rate_factors(model: nn.Module, attribute: str) -> dict[str, float]:
    """Full parameter name -> factor, from the blocks that ask for one; those without `attribute` have one for all."""
    factors = {}
    for path, module in model.named_modules():
        stated = getattr(module, attribute, getattr(module, "rate_factors", {}))
        for own, factor in stated.items():
            prefix = f"{path}.{own}" if path else own
            names = (f"{path}.{name}" if path else name for name, _ in module.named_parameters())
            factors.update({name: factor for name in names if name == prefix or name.startswith(f"{prefix}.")})
    return factors


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


def _interpolate(progress: float, start: float, end: float) -> float:
    return (1 - progress) * start + progress * end  # exact at both ends


def build_ema(model: nn.Module, updates: int) -> AveragedModel:
    """A moving average of weights and buffers, whose decay grows from 0 towards 0.9999 with the number of updates.

    YOLOv5's average needs thousands of updates before it smooths anything. A short training gets a ramp in proportion
    to its length, so that its last epochs are averaged too.

    Args:
        model: what is averaged; `AveragedModel.module` is the averaged copy.
        updates: how many updates the training will make.
    """
    ramp = min(_EMA_RAMP, max(updates * _EMA_RAMP_SHARE, 1.0))
    ema = AveragedModel(model, multi_avg_fn=partial(_update_average, ramp=ramp), use_buffers=True)
    ema.requires_grad_(False)
    ema.module.eval()
    return ema


@torch.no_grad()
def _update_average(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int, ramp: float) -> None:
    decay = _EMA_DECAY * (1 - math.exp(-(float(updates) + 1) / ramp))
    if averaged[0].is_floating_point():
        torch._foreach_lerp_(list(averaged), list(current), 1 - decay)
    else:
        for target, source in zip(averaged, current, strict=True):
            target.copy_(source)


def clip_gradients(parameters: Iterator[nn.Parameter], max_norm: float = 10.0) -> None:
    """Keeps one bad batch from throwing the weights away."""
    nn.utils.clip_grad_norm_(parameters, max_norm)
