"""Cross-stage-partial blocks: Wang et al., "CSPNet", arXiv 1911.11929, as YOLOv5 arranges them, and C3k of YOLO11.

Blocks with 3x3 convolutions inside take `conv`, the class to make those of, and pass further keywords on to it: a YAML
row `[-1, 3, C3, [256], {conv: SAConv2d, use_deform: true}]` is a C3 with deformable SAConv2d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks.conv import Conv
from models.blocks.ghost import GhostBottleneck
from models.blocks.spp import SPP
from models.blocks.transformer import TransformerBlock
from models.registry import ConvClass, conv_rule, csp_rule, register


@register(rule=conv_rule, conv_slots=("conv",))
class Bottleneck(nn.Module):
    """1x1 to `e * c2` channels, 3x3 to `c2`, and the input added where the channels allow it.

    Args:
        c1: input channels.
        c2: output channels.
        shortcut: add the input, if `c1 == c2`.
        g: groups of the second convolution; passed to `conv` only where it is not 1.
        e: hidden channels as a share of `c2`.
        k: kernel sizes of the two convolutions; YOLOv8 and later have 3 and 3.
        conv: class of those that are larger than 1x1.
        conv_kwargs: further keywords for it.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        shortcut: bool = True,
        g: int = 1,
        e: float = 0.5,
        *,
        k: tuple[int, int] = (1, 3),
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)

        def make(c_in: int, c_out: int, size: int, **groups: Any) -> nn.Module:
            return conv(c_in, c_out, size, 1, **groups, **conv_kwargs) if size > 1 else Conv(c_in, c_out, 1, **groups)

        self.cv1 = make(c1, hidden, k[0])
        self.cv2 = make(hidden, c2, k[1], **({} if g == 1 else {"g": g}))
        self.add = shortcut and c1 == c2

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


def wide_bottleneck(
    c: int, shortcut: bool, g: int, conv: ConvClass, conv_kwargs: Mapping[str, Any], e: float = 1.0
) -> Bottleneck:
    """The Bottleneck of YOLOv8 and later, `c` to `c` channels: two 3x3 convolutions; see `Bottleneck`."""
    return Bottleneck(c, c, shortcut, g, e, k=(3, 3), conv=conv, **conv_kwargs)


@register(rule=conv_rule)
class CrossConv(nn.Module):
    """A k x k convolution as 1 x k and k x 1, with the input added on request where the channels allow it."""

    def __init__(
        self, c1: int, c2: int, k: int = 3, s: int = 1, g: int = 1, e: float = 1.0, shortcut: bool = False
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, (1, k), (1, s))
        self.cv2 = Conv(hidden, c2, (k, 1), (s, 1), g=g)
        self.add = shortcut and c1 == c2

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


@register(rule=csp_rule, conv_slots=("conv",))
class BottleneckCSP(nn.Module):
    """The CSP block of YOLOv5's first releases: `n` bottlenecks on one half, a 1x1 convolution on the other."""

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
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = nn.Conv2d(c1, hidden, 1, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, 1, bias=False)
        self.cv4 = Conv(2 * hidden, c2, 1, 1)
        self.bn = nn.BatchNorm2d(2 * hidden)
        # YOLOv5's `activation` key reaches its Conv blocks only: here it is SiLU in every model.
        self.act = nn.SiLU()
        self.m = nn.Sequential(
            *(Bottleneck(hidden, hidden, shortcut, g, 1.0, conv=conv, **conv_kwargs) for _ in range(n))
        )

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(self.act(self.bn(halves)))


class _C3Frame(nn.Module):
    """The three 1x1 convolutions that the C3 family shares: `cv3(cat(m(cv1(x)), cv2(x)))`.

    Args:
        c1: input channels.
        c2: output channels.
        e: hidden channels as a share of `c2`.
        inner: makes `m` from the number of hidden channels.
    """

    def __init__(self, c1: int, c2: int, e: float, inner: Callable[[int], nn.Module]) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(c1, hidden, 1, 1)
        self.cv3 = Conv(2 * hidden, c2, 1)
        self.m = inner(hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


@register(rule=csp_rule, conv_slots=("conv",))
class C3(_C3Frame):
    """CSP block with three convolutions and `n` bottlenecks; see `Bottleneck` for the other arguments."""

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
        def bottlenecks(c: int) -> nn.Module:
            return nn.Sequential(*(Bottleneck(c, c, shortcut, g, 1.0, conv=conv, **conv_kwargs) for _ in range(n)))

        super().__init__(c1, c2, e, bottlenecks)


@register(rule=csp_rule, conv_slots=("conv",))
class C3k(_C3Frame):
    """`C3` with two 3x3 convolutions in each of its `n` bottlenecks; see `Bottleneck` for the other arguments."""

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 2,
        shortcut: bool = True,
        g: int = 1,
        e: float = 0.5,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        def wide(c: int) -> nn.Module:
            return nn.Sequential(*(wide_bottleneck(c, shortcut, g, conv, conv_kwargs) for _ in range(n)))

        super().__init__(c1, c2, e, wide)


@register(rule=csp_rule)
class C3x(_C3Frame):
    """C3 with `n` CrossConvs."""

    def __init__(self, c1: int, c2: int, n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5) -> None:
        def crossed(c: int) -> nn.Module:
            return nn.Sequential(*(CrossConv(c, c, 3, 1, g, 1.0, shortcut) for _ in range(n)))

        super().__init__(c1, c2, e, crossed)


@register(rule=csp_rule)
class C3TR(_C3Frame):
    """C3 with a TransformerBlock of `n` layers and four heads; `shortcut` and `g` stand for YOLO's argument order."""

    def __init__(self, c1: int, c2: int, n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5) -> None:
        super().__init__(c1, c2, e, lambda c: TransformerBlock(c, c, 4, n))


@register(rule=conv_rule)
class C3SPP(_C3Frame):
    """C3 with an SPP; `n`, `shortcut` and `g` stand for YOLO's argument order."""

    def __init__(
        self,
        c1: int,
        c2: int,
        k: Sequence[int] = (5, 9, 13),
        n: int = 1,
        shortcut: bool = True,
        g: int = 1,
        e: float = 0.5,
    ) -> None:
        super().__init__(c1, c2, e, lambda c: SPP(c, c, k))


@register(rule=csp_rule)
class C3Ghost(_C3Frame):
    """C3 with `n` GhostBottlenecks; `shortcut` and `g` stand for YOLO's argument order."""

    def __init__(self, c1: int, c2: int, n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5) -> None:
        super().__init__(c1, c2, e, lambda c: nn.Sequential(*(GhostBottleneck(c, c) for _ in range(n))))
