"""The rule by which the golden models are filled, and the image that they see; see the golden files' README."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from models import Detector

# Values that a model has by construction.
_KEPT = ("anchors", "weight_gamma", "weight_beta", "dfl.conv.weight")


def golden_value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a state-dict entry by the rule of the golden files' README."""
    random = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith(("running_var", "bn.weight")):
        return random.uniform(0.5, 1.5, shape)
    if key.endswith("running_mean") or len(shape) == 1:
        return random.standard_normal(shape) * 0.1
    return random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))


def fill(model: Detector) -> Detector:
    """The model in evaluation mode with golden weights: unlike a fresh one's, its outputs depend on every layer.

    SAConv2d keeps the scale of its standardised kernels: one of standard deviation 1 overflows within a few layers.
    """
    for key, value in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value.zero_()
        elif not key.endswith(_KEPT):
            value.copy_(torch.from_numpy(golden_value(key, tuple(value.shape))))
    return model.eval()


def golden_image() -> Tensor:
    """`(1, 3, 128, 192)`."""
    return torch.from_numpy(np.random.default_rng(3).uniform(0, 1, (1, 3, 128, 192)).astype(np.float32))
