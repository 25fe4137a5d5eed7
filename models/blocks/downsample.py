"""Halving a map with few weights: Wang et al., "YOLOv10", arXiv 2405.14458, section 3.2."""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.conv import Conv
from models.registry import conv_rule, register


@register(rule=conv_rule)
class SCDown(nn.Module):
    """Channels by a 1x1 convolution, then size by a depth-wise one. `(N, c1, H, W)` to `(N, c2, H/s, W/s)`, rounded up.

    Args:
        c1: input channels.
        c2: output channels.
        k: kernel size of the depth-wise convolution.
        s: its stride.
    """

    def __init__(self, c1: int, c2: int, k: int, s: int) -> None:
        super().__init__()
        self.cv1 = Conv(c1, c2, 1, 1)
        self.cv2 = Conv(c2, c2, k, s, g=c2, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv2(self.cv1(x))
