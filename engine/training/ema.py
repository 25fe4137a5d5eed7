"""The moving average of the weights, which is what is validated and kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_EMA_DECAY, _EMA_RAMP = 0.9999, 2000.0
_EMA_RAMP_SHARE = 1 / 3  # of all updates, where that is shorter


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
