"""Ghost blocks: Han et al., "GhostNet: More Features from Cheap Operations", arXiv 1911.11907."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks.activation import Activation
from models.blocks.conv import Conv, DWConv
from models.registry import conv_rule, register


@register(rule=conv_rule)
class GhostConv(nn.Module):
    """Half of the channels by a convolution, the other half from those by a cheap depth-wise 5x5."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, g: int = 1, act: Activation = True) -> None:
        super().__init__()
        hidden = c2 // 2
        self.cv1 = Conv(c1, hidden, k, s, None, g, act=act)
        self.cv2 = Conv(hidden, hidden, 5, 1, None, hidden, act=act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv1(x)
        return torch.cat((y, self.cv2(y)), 1)


@register(rule=conv_rule)
class GhostBottleneck(nn.Module):
    """Two GhostConvs with a shortcut; at stride 2 a depth-wise convolution between them and in the shortcut.

    At stride 1 the shortcut is the input itself, so `c1` must equal `c2`.
    """

    def __init__(self, c1: int, c2: int, k: int = 3, s: int = 1) -> None:
        super().__init__()
        hidden = c2 // 2
        self.conv = nn.Sequential(
            GhostConv(c1, hidden, 1, 1),
            DWConv(hidden, hidden, k, s, act=False) if s == 2 else nn.Identity(),
            GhostConv(hidden, c2, 1, 1, act=False),
        )
        self.shortcut = (
            nn.Sequential(DWConv(c1, c1, k, s, act=False), Conv(c1, c2, 1, 1, act=False)) if s == 2 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)
