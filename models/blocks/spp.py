"""Spatial pyramid pooling: He et al., arXiv 1406.4729, with stride-1 max pooling as YOLOv3-SPP has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks.conv import Conv
from models.registry import conv_rule, register


@register(rule=conv_rule)
class SPP(nn.Module):
    """The map beside its max-poolings with window sizes `k` (odd), joined by 1x1 convolutions."""

    def __init__(self, c1: int, c2: int, k: Sequence[int] = (5, 9, 13)) -> None:
        super().__init__()
        hidden = c1 // 2
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden * (len(k) + 1), c2, 1, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(size, stride=1, padding=size // 2) for size in k)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


@register(rule=conv_rule)
class SPPF(nn.Module):
    """`SPP` with windows k, 2k-1, 3k-2 for the price of three windows k: each pools the one before.

    Args:
        c1: input channels.
        c2: output channels.
        k: window of a pooling, odd.
        n: number of poolings, one after the other; None: 3.
        shortcut: add the input, if `c1 == c2`. Where a row says `n` or `shortcut`, as those of YOLO26 do, `cv1` has no
            activation.
    """

    def __init__(self, c1: int, c2: int, k: int = 5, n: int | None = None, shortcut: bool | None = None) -> None:
        super().__init__()
        self.n = 3 if n is None else n
        hidden = c1 // 2
        self.cv1 = Conv(c1, hidden, 1, 1, act=n is None and shortcut is None)
        self.cv2 = Conv(hidden * (self.n + 1), c2, 1, 1)
        self.m = nn.MaxPool2d(k, stride=1, padding=k // 2)
        self.add = bool(shortcut) and c1 == c2

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.cv1(x)]  # (N, c1 // 2, H, W)
        for _ in range(self.n):
            maps.append(self.m(maps[-1]))
        y = self.cv2(torch.cat(maps, 1))  # (N, (n + 1) (c1 // 2), H, W) to (N, c2, H, W)
        return x + y if self.add else y
