"""Area attention of YOLOv12: Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv 2502.12524."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from models.blocks.attention import FeedForward, check_heads, keeping_rule
from models.blocks.conv import Conv
from models.blocks.csp import C3k
from models.errors import ConfigError
from models.registry import ConvClass, RowContext, RowPlan, csp_rule, register

_HEAD_WIDTH = 32
_INITIAL_GAMMA = 0.01
_INITIAL_STD = 0.02
_LARGE_SCALES = frozenset("lx")


class AreaAttention(nn.Module):
    """Every cell looks at the cells of its own area. Input and output `(N, dim, H, W)`.

    The cells in row order, `y W + x`, are cut into `area` equal runs: bands of rows, where the height divides.

    Args:
        dim: channels, a multiple of `heads`.
        heads: number of heads.
        area: number of areas; H W must be a multiple of it.

    Raises:
        ConfigError: channels that do not divide by the heads, or no area.
    """

    def __init__(self, dim: int, heads: int, area: int = 1) -> None:
        super().__init__()
        check_heads(dim, heads)
        if area < 1:
            raise ConfigError(f"the number of areas must be at least 1, not {area}")
        self.heads, self.area = heads, area
        self.qkv = Conv(dim, 3 * dim, 1, act=False)
        self.proj = Conv(dim, dim, 1, act=False)
        self.pe = Conv(dim, dim, 7, 1, g=dim, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError where the cells do not divide by the areas."""
        height, width = x.shape[2:]
        if not torch.compiler.is_compiling() and height * width % self.area:
            raise ValueError(f"{height} x {width} cells do not divide into {self.area} equal areas")
        cells = self.qkv(x).flatten(2).transpose(1, 2).contiguous()  # (N, H W, 3 dim)
        # Areas stand beside images: nobody looks beyond either.
        runs = cells.unflatten(1, (self.area, -1)).flatten(0, 1)  # (N A, H W / A, 3 dim)
        q, k, v = runs.unflatten(2, (self.heads, -1)).transpose(1, 2).chunk(3, 3)  # (N A, heads, H W / A, c) each
        y = scaled_dot_product_attention(q, k, v)  # (N A, heads, H W / A, c)
        return self.proj(self._as_map(y, height, width) + self.pe(self._as_map(v, height, width)))

    def _as_map(self, per_head: Tensor, height: int, width: int) -> Tensor:
        """`(N A, heads, H W / A, c)` to `(N, heads c, H, W)`."""
        cells = per_head.transpose(1, 2).flatten(2)  # (N A, H W / A, dim)
        cells = cells.unflatten(0, (-1, self.area)).flatten(1, 2)  # (N, H W, dim)
        return cells.transpose(1, 2).unflatten(2, (height, width))


@register(rule=keeping_rule)
class ABlock(nn.Module):
    """`AreaAttention` and two 1x1 convolutions, each with a shortcut. Input and output `(N, dim, H, W)`.

    Args:
        dim: channels, a multiple of `heads`.
        heads: see `AreaAttention`.
        mlp: channels between the two convolutions as a multiple of `dim`.
        area: see `AreaAttention`.

    Raises:
        ConfigError: see `AreaAttention`.
    """

    def __init__(self, dim: int, heads: int, mlp: float = 1.2, area: int = 1) -> None:
        super().__init__()
        self.attn = AreaAttention(dim, heads, area)
        self.mlp = FeedForward(dim, int(mlp * dim))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=_INITIAL_STD)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.mlp(x)


def _a2c2f_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """As `csp_rule`; at the sizes l and x the input is added and the perceptrons are narrow, whatever the row says."""
    plan = csp_rule(context, args)
    return plan.with_arguments(A2C2f, residual=True, mlp=1.2) if context.scale in _LARGE_SCALES else plan


@register(rule=_a2c2f_rule, conv_slots=("conv",))
class A2C2f(nn.Module):
    """`n` pairs of ABlocks, or C3k, in sequence, and all results joined. `(N, c1, H, W)` to `(N, c2, H, W)`.

    Args:
        c1: input channels.
        c2: output channels.
        n: number of inner blocks.
        a2: they are two ABlocks each, with a head for each 32 channels; else C3k with two bottlenecks.
        area: see `AreaAttention`; without `a2` it says nothing and may be -1.
        residual: with `a2`, add the input to `gamma` times the result; `gamma` is one number for each channel. True at
            the sizes l and x of a family.
        mlp: see `ABlock`; 1.2 at the sizes l and x.
        e: hidden channels `h` as a share of `c2`; with `a2` a multiple of 32.
        g: groups of the bottlenecks' second convolution.
        shortcut: bottlenecks add their input.
        conv: class of the bottlenecks' 3x3 convolutions; other than Conv only without `a2`, which has none.
        conv_kwargs: further keywords for it.

    Raises:
        ConfigError: with `a2`: hidden channels that do not divide by 32, an area below 1, another `conv`, or a
            `residual` where the channels differ.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 1,
        a2: bool = True,
        area: int = 1,
        residual: bool = False,
        mlp: float = 2.0,
        e: float = 0.5,
        g: int = 1,
        shortcut: bool = True,
        *,
        conv: ConvClass = Conv,
        **conv_kwargs: Any,
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)
        if a2:
            _check_attention(c1, c2, hidden, residual, conv)

        def inner() -> nn.Module:
            if not a2:
                return C3k(hidden, hidden, 2, shortcut, g, conv=conv, **conv_kwargs)
            return nn.Sequential(*(ABlock(hidden, hidden // _HEAD_WIDTH, mlp, area) for _ in range(2)))

        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv((1 + n) * hidden, c2, 1)
        self.gamma = nn.Parameter(torch.full((c2,), _INITIAL_GAMMA)) if a2 and residual else None
        self.m = nn.ModuleList(inner() for _ in range(n))

    def forward(self, x: Tensor) -> Tensor:
        pieces = [self.cv1(x)]  # (N, h, H, W)
        for block in self.m:
            pieces.append(block(pieces[-1]))
        y = self.cv2(torch.cat(pieces, 1))  # (N, (1 + n) h, H, W) to (N, c2, H, W)
        # In half precision the sum is to stay so: a float32 factor would make it float32.
        return y if self.gamma is None else x + self.gamma.to(y.dtype)[:, None, None] * y


def _check_attention(c1: int, c2: int, hidden: int, residual: bool, conv: ConvClass) -> None:
    if hidden % _HEAD_WIDTH:
        raise ConfigError(f"area attention needs hidden channels that divide by {_HEAD_WIDTH}, not {hidden}")
    if residual and c1 != c2:
        raise ConfigError(f"cannot add its input of {c1} channels to {c2}; write residual false, or {c1} channels")
    if conv is not Conv:
        raise ConfigError("area attention has no 3x3 convolution; leave conv out, or write false for a2")
