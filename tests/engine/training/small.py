"""A network of two convolutions with a BatchNorm between them."""

from __future__ import annotations

from torch import nn


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
