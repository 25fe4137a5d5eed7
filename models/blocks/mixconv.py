"""Mixed kernel sizes in one layer: Tan, Le, "MixConv: Mixed Depthwise Convolutional Kernels", arXiv 1907.09595."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.registry import conv_rule, register


@register(rule=conv_rule)
class MixConv2d(nn.Module):
    """Grouped convolutions with different kernel sizes share the output channels; then BatchNorm and SiLU.

    Args:
        c1: input channels.
        c2: output channels of all kernels together.
        k: kernel sizes.
        s: stride.
        equal_ch: True gives each kernel size as many channels, False as many weights.
    """

    def __init__(self, c1: int, c2: int, k: Sequence[int] = (1, 3), s: int = 1, equal_ch: bool = True) -> None:
        super().__init__()
        shares = _equal_channels(c2, len(k)) if equal_ch else _equal_weights(c2, k)
        self.m = nn.ModuleList(
            nn.Conv2d(c1, share, size, s, size // 2, groups=math.gcd(c1, share), bias=False)
            for size, share in zip(k, shares, strict=True)
        )
        self.bn = nn.BatchNorm2d(c2)
        # YOLOv5's `activation` key reaches its Conv blocks only: here it is SiLU in every model.
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(torch.cat([conv(x) for conv in self.m], 1)))


def _equal_channels(c2: int, groups: int) -> list[int]:
    index = torch.linspace(0, groups - 1e-6, c2).floor()
    return [int((index == group).sum()) for group in range(groups)]


def _equal_weights(c2: int, k: Sequence[int]) -> list[int]:
    """Channels in proportion to 1 / k^2; the smallest kernel takes what rounding leaves over."""
    inverse = [1 / size**2 for size in k]
    shares = [round(c2 * part / sum(inverse)) for part in inverse]
    shares[shares.index(max(shares))] += c2 - sum(shares)
    return shares
