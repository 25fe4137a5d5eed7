"""Blocks that split their map and keep every intermediate result: C2f of YOLOv8, C3k2 of YOLO11 and YOLO26, and C2.

They follow CSPNet (Wang et al., arXiv 1911.11929) and ELAN (arXiv 2211.04800). As in `models.blocks.csp`, blocks with
3x3 convolutions inside take `conv`, the class to make those of, and pass further keywords on to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks.attention import PSABlock, heads_for
from models.blocks.conv import Conv
from models.blocks.csp import C3k, wide_bottleneck
from models.registry import ConvClass, RowContext, RowPlan, csp_rule, register

_SCALES_WITH_C3K = frozenset("mlx")


@register(rule=csp_rule, conv_slots=("conv",))
class C2(nn.Module):
    """Two halves: `n` bottlenecks in sequence on the first, the second as it is. `(N, c1, H, W)` to `(N, c2, H, W)`.

    Args:
        c1: input channels.
        c2: output channels.
        n: number of bottlenecks, with two 3x3 convolutions each.
        shortcut: they add their input.
        g: groups of their second convolution.
        e: channels of a half as a share of `c2`.
        conv: class of the 3x3 convolutions.
        conv_kwargs: further keywords for it.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 1,
        shortcut: bool = True,
        g: int = 1,
        e: float = 0.5,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, 2 * hidden, 1, 1)
        self.cv2 = Conv(2 * hidden, c2, 1)
        self.m = nn.Sequential(*(wide_bottleneck(hidden, shortcut, g, conv, conv_kwargs) for _ in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.cv1(x).chunk(2, 1)  # (N, h, H, W) each
        return self.cv2(torch.cat((self.m(first), second), 1))


class C2fFrame(nn.Module):
    """What C2f, C3k2 and C2fCIB share: `n` blocks in sequence on half of the channels, all results joined.

    Args:
        c1: input channels.
        c2: output channels.
        n: number of blocks.
        e: hidden channels `h` as a share of `c2`.
        inner: makes one block from `h`; it keeps the number of channels.
    """

    def __init__(self, c1: int, c2: int, n: int, e: float, inner: Callable[[int], nn.Module]) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, 2 * hidden, 1, 1)
        self.cv2 = Conv((2 + n) * hidden, c2, 1)
        self.m = nn.ModuleList(inner(hidden) for _ in range(n))

    def forward(self, x: Tensor) -> Tensor:
        halves = self.cv1(x)  # (N, 2 h, H, W)
        pieces = [halves]
        last = halves.chunk(2, 1)[1]  # (N, h, H, W)
        for block in self.m:
            last = block(last)  # (N, h, H, W)
            pieces.append(last)
        return self.cv2(torch.cat(pieces, 1))  # (N, (2 + n) h, H, W) to (N, c2, H, W)


@register(rule=csp_rule, conv_slots=("conv",))
class C2f(C2fFrame):
    """Two halves, `n` bottlenecks in sequence on the second, and all intermediate results joined; arguments as `C2`."""

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 1,
        shortcut: bool = False,
        g: int = 1,
        e: float = 0.5,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        super().__init__(c1, c2, n, e, lambda h: wide_bottleneck(h, shortcut, g, conv, conv_kwargs))


def _c3k2_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """As `csp_rule`; at the sizes m, l and x every C3k2 has C3k inside, whatever the row says."""
    plan = csp_rule(context, args)
    return plan.with_arguments(C3k2, c3k=True) if context.scale in _SCALES_WITH_C3K else plan


@register(rule=_c3k2_rule, conv_slots=("conv",))
class C3k2(C2fFrame):
    """`C2f` of YOLO11 and YOLO26: what stands in sequence is a narrow bottleneck, a C3k, or a bottleneck and attention.

    Args:
        c1: input channels.
        c2: output channels.
        n: number of inner blocks.
        c3k: they are C3k with two bottlenecks. At the sizes m, l and x of a family they always are.
        e: hidden channels `h` as a share of `c2`.
        attn: they are a bottleneck and a `PSABlock` after it, whatever `c3k` says.
        g: groups of the second convolution in each bottleneck.
        shortcut: bottlenecks add their input.
        conv: class of the 3x3 convolutions; the depth-wise one inside of attention, which stands for the position,
            stays plain.
        conv_kwargs: further keywords for it.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 1,
        c3k: bool = False,
        e: float = 0.5,
        attn: bool = False,
        g: int = 1,
        shortcut: bool = True,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        def inner(h: int) -> nn.Module:
            if c3k and not attn:
                return C3k(h, h, 2, shortcut, g, conv=conv, **conv_kwargs)
            bottleneck = wide_bottleneck(h, shortcut, g, conv, conv_kwargs, e=0.5)
            return nn.Sequential(bottleneck, PSABlock(h, heads=heads_for(h))) if attn else bottleneck

        super().__init__(c1, c2, n, e, inner)
