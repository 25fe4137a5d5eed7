"""Blocks without parameters: joining maps, and moving pixels between space and channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ConfigError
from models.registry import RowContext, RowPlan, register, single_input


def _concat_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[1]` -> the channels of all inputs together."""
    if args and args[0] not in (1, -3):
        raise ConfigError(f"joins channels, which is dimension 1, not {args[0]!r}; write [1]")
    return RowPlan(tuple(args), sum(context.in_channels))


def _gain(args: list[Any]) -> int:
    gain = args[0] if args else 2
    if isinstance(gain, bool) or not isinstance(gain, int) or gain < 1:
        raise ConfigError(f"the factor must be a whole number from 1, not {gain!r}")
    return gain


def _contract_rule(context: RowContext, args: list[Any]) -> RowPlan:
    return RowPlan(tuple(args), single_input(context) * _gain(args) ** 2, context.repeats)


def _expand_rule(context: RowContext, args: list[Any]) -> RowPlan:
    c1, area = single_input(context), _gain(args) ** 2
    if c1 % area:
        raise ConfigError(f"its {c1} input channels do not divide by {area}")
    return RowPlan(tuple(args), c1 // area, context.repeats)


@register(rule=_concat_rule)
class Concat(nn.Module):
    """Joins maps along `dimension`; the others must agree."""

    def __init__(self, dimension: int = 1) -> None:
        super().__init__()
        self.d = dimension

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(maps), self.d)


@register(rule=_contract_rule)
class Contract(nn.Module):
    """`(N, C, H, W)` to `(N, C gain^2, H/gain, W/gain)`; channel order (row offset, column offset, C)."""

    def __init__(self, gain: int = 2) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        s = self.gain
        cells = x.reshape(n, c, h // s, s, w // s, s).permute(0, 3, 5, 1, 2, 4)
        return cells.reshape(n, c * s * s, h // s, w // s)


@register(rule=_expand_rule)
class Expand(nn.Module):
    """The inverse of `Contract`: `(N, C, H, W)` to `(N, C / gain^2, H gain, W gain)`."""

    def __init__(self, gain: int = 2) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        s = self.gain
        cells = x.reshape(n, s, s, c // s**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return cells.reshape(n, c // s**2, h * s, w * s)
