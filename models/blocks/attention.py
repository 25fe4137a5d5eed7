"""Self-attention over all cells of a map, of YOLOv10 (Wang et al., arXiv 2405.14458, section 3.2) and YOLO11.

The 3x3 convolution inside of attention stands for the position of a cell. It is no place for another convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from models.blocks.conv import Conv
from models.errors import ConfigError
from models.registry import RowContext, RowPlan, conv_rule, csp_rule, register


def heads_for(channels: int) -> int:
    """Number of heads of YOLO11's attention: one for each 64 channels, at least one."""
    return max(channels // 64, 1)


def keeping_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[c2, ...]` -> `(c2, ...)` for a block that keeps its channels; repeats stand in sequence.

    Raises:
        ConfigError: the scaled c2 is not the number of the input's channels; and see `conv_rule`.
    """
    plan = conv_rule(context, args)
    c1, c2, *rest = plan.args
    check_keeps_channels(c1, c2)
    return RowPlan((c2, *rest), c2, plan.repeats)


def check_keeps_channels(c1: int, c2: int) -> None:
    """Raises ConfigError where the channels differ."""
    if c1 != c2:
        raise ConfigError(
            f"keeps the channels of its input, {c1}, but the row comes to {c2}; write what the row before has"
        )


def check_heads(channels: int, heads: int) -> None:
    """Raises ConfigError where `channels` do not divide into `heads` equal parts."""
    if heads < 1 or channels % heads:
        raise ConfigError(
            f"attention over {channels} channels cannot have {heads} heads; choose a number that divides {channels}"
        )


@register(rule=keeping_rule)
class Attention(nn.Module):
    """Every cell looks at all cells of its image; several heads. Input and output `(N, dim, H, W)`.

    Vaswani et al., arXiv 1706.03762, section 3.2, with queries and keys narrower than values.

    Args:
        dim: channels, a multiple of `heads`.
        heads: number of heads.
        ratio: width of a head's queries and keys as a share of that of its values.

    Raises:
        ConfigError: channels that do not divide by the heads, or no channel left for queries.
    """

    def __init__(self, dim: int, heads: int = 8, ratio: float = 0.5) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.head_width = dim // heads
        self.key_width = int(self.head_width * ratio)
        if self.key_width < 1:
            raise ConfigError(f"a ratio of {ratio} leaves heads of {self.head_width} channels no key; raise it")
        self.qkv = Conv(dim, dim + 2 * self.key_width * heads, 1, act=False)
        self.proj = Conv(dim, dim, 1, act=False)
        self.pe = Conv(dim, dim, 3, 1, g=dim, act=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        kd, hd = self.key_width, self.head_width
        # Cells by channels, each cell's numbers side by side: no copy in channels-last, and what fast kernels ask for.
        cells = self.qkv(x).flatten(2).transpose(1, 2).contiguous()  # (N, H W, dim + 2 kd heads)
        parts = cells.unflatten(2, (self.heads, 2 * kd + hd)).transpose(1, 2)  # (N, heads, H W, 2 kd + hd)
        q, k, v = parts.split((kd, kd, hd), 3)  # (N, heads, H W, kd) twice, (N, heads, H W, hd)
        y = scaled_dot_product_attention(q, k, v)  # (N, heads, H W, hd)
        return self.proj(_as_map(y, height, width) + self.pe(_as_map(v, height, width)))


def _as_map(per_head: Tensor, height: int, width: int) -> Tensor:
    """`(N, heads, H W, c)` to `(N, heads c, H, W)`."""
    return per_head.transpose(2, 3).flatten(1, 2).unflatten(2, (height, width))


class FeedForward(nn.Sequential):
    """Two 1x1 convolutions over each cell, `c` to `hidden` to `c` channels, the second without activation."""

    def __init__(self, c: int, hidden: int) -> None:
        super().__init__(Conv(c, hidden, 1), Conv(hidden, c, 1, act=False))


@register(rule=keeping_rule)
class PSABlock(nn.Module):
    """`Attention` and two 1x1 convolutions, each with a shortcut. Input and output `(N, c, H, W)`.

    Args:
        c: channels, a multiple of `heads`.
        ratio: see `Attention`.
        heads: see `Attention`.

    Raises:
        ConfigError: see `Attention`.
    """

    def __init__(self, c: int, ratio: float = 0.5, heads: int = 4) -> None:
        super().__init__()
        self.attn = Attention(c, heads, ratio)
        self.ffn = FeedForward(c, 2 * c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.ffn(x)


@register(rule=conv_rule)
class PSA(nn.Module):
    """One half of the channels goes through attention as in `PSABlock`, the other stays. `(N, c1, H, W)` to the same.

    Args:
        c1: input channels.
        c2: output channels, equal to `c1`.
        e: channels `h` of a half as a share of `c1`; there are `max(h // 64, 1)` heads.

    Raises:
        ConfigError: `c1` and `c2` differ, or see `Attention`.
    """

    def __init__(self, c1: int, c2: int, e: float = 0.5) -> None:
        super().__init__()
        check_keeps_channels(c1, c2)
        hidden = int(c1 * e)
        self.cv1 = Conv(c1, 2 * hidden, 1, 1)
        self.cv2 = Conv(2 * hidden, c1, 1)
        self.attn = Attention(hidden, heads_for(hidden))
        self.ffn = FeedForward(hidden, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.cv1(x).chunk(2, 1)  # (N, h, H, W) each
        second = second + self.attn(second)
        second = second + self.ffn(second)
        return self.cv2(torch.cat((first, second), 1))


@register(rule=csp_rule)
class C2PSA(nn.Module):
    """`PSA` of YOLO11 and YOLO26: `n` PSABlocks in sequence on one half. `(N, c1, H, W)` to the same.

    Args:
        c1: input channels.
        c2: output channels, equal to `c1`.
        n: number of PSABlocks.
        e: see `PSA`.

    Raises:
        ConfigError: see `PSA`.
    """

    def __init__(self, c1: int, c2: int, n: int = 1, e: float = 0.5) -> None:
        super().__init__()
        check_keeps_channels(c1, c2)
        hidden = int(c1 * e)
        self.cv1 = Conv(c1, 2 * hidden, 1, 1)
        self.cv2 = Conv(2 * hidden, c1, 1)
        self.m = nn.Sequential(*(PSABlock(hidden, heads=heads_for(hidden)) for _ in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.cv1(x).chunk(2, 1)  # (N, h, H, W) each
        return self.cv2(torch.cat((first, self.m(second)), 1))
