"""From a batch of the loader to what a loss is told about it."""

from __future__ import annotations

import torch

from data.loading.loader import Batch
from models.losses.targets import Targets


def targets_of(batch: Batch, device: torch.device) -> Targets:
    """The boxes of a batch, its regions to ignore, and the size of its input, on `device`."""
    height, width = batch.images.shape[2:]
    return Targets(batch.targets, batch.ignore, (height, width)).to(device)
