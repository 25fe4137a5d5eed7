"""Compact inverted blocks: Wang et al., "YOLOv10", arXiv 2405.14458, section 3.2."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.attention import keeping_rule
from models.blocks.c2f import C2fFrame
from models.blocks.conv import Conv
from models.errors import ConfigError
from models.registry import ConvClass, conv_rule, csp_rule, register


@register(rule=keeping_rule)
class RepVGGDW(nn.Module):
    """`SiLU` of a depth-wise 7x7 convolution plus a depth-wise 3x3 one. Input and output `(N, c, H, W)`.

    For inference both are one 7x7: Ding et al., "RepVGG", arXiv 2101.03697, section 3.3.
    """

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = Conv(c, c, 7, 1, g=c, act=False)
        self.conv1: Conv | None = Conv(c, c, 3, 1, g=c, act=False)
        # The `activation` key reaches Conv blocks only: here it is SiLU in every model.
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.act(y if self.conv1 is None else y + self.conv1(x))

    @torch.no_grad()
    def fuse(self) -> RepVGGDW:
        """Fold the BatchNorms, and the 3x3 kernel into the 7x7, in place; inference only from then on."""
        if self.conv1 is not None:
            large, small = self.conv.fuse().conv, self.conv1.fuse().conv
            assert large.bias is not None
            assert small.bias is not None
            large.weight += functional.pad(small.weight, (2, 2, 2, 2))  # (c, 1, 3, 3) in the middle of (c, 1, 7, 7)
            large.bias += small.bias  # (c,)
            self.conv1 = None
        return self


@register(rule=conv_rule, conv_slots=("conv",))
class CIB(nn.Module):
    """3x3, 1x1, 3x3, 1x1, 3x3, where every 3x3 is depth-wise; and the input added where the channels allow it.

    Args:
        c1: input channels.
        c2: output channels.
        shortcut: add the input, if `c1 == c2`.
        e: half of the channels in the middle as a share of `c2`.
        lk: the 3x3 in the middle is a `RepVGGDW`.
        conv: class of the depth-wise 3x3 convolutions; it gets as many groups as channels, by the keyword `g`. So a
            SAConv2d here has a switch and a kernel for each channel, but its two contexts still mix all channels. The
            3x3 inside of RepVGGDW, which becomes a part of a 7x7, stays plain.
        conv_kwargs: further keywords for it.

    Raises:
        ConfigError: `conv` takes no groups.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        shortcut: bool = True,
        e: float = 0.5,
        lk: bool = False,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        super().__init__()
        if "g" not in inspect.signature(conv).parameters:
            raise ConfigError(
                f"its 3x3 convolutions are depth-wise, but {conv.__name__} takes no groups 'g'; "
                "name another convolution, or leave conv out"
            )

        def depthwise(c: int) -> nn.Module:
            return conv(c, c, 3, g=c, **conv_kwargs)

        middle = 2 * int(c2 * e)
        self.cv1 = nn.Sequential(
            depthwise(c1),
            Conv(c1, middle, 1),
            RepVGGDW(middle) if lk else depthwise(middle),
            Conv(middle, c2, 1),
            depthwise(c2),
        )
        self.add = shortcut and c1 == c2

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv1(x)
        return x + y if self.add else y


@register(rule=csp_rule, conv_slots=("conv",))
class C2fCIB(C2fFrame):
    """`C2f` with `n` CIBs; `g` stands for YOLO's argument order. See `CIB` for the other arguments, `conv` included."""

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 1,
        shortcut: bool = False,
        lk: bool = False,
        g: int = 1,
        e: float = 0.5,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        super().__init__(c1, c2, n, e, lambda h: CIB(h, h, shortcut, 1.0, lk, conv=conv, **conv_kwargs))
