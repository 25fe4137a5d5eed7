"""The names that a model YAML may use, and the channel rule of each.

A block registers itself with one decorator; the folders `models/blocks` and `models/heads` are imported as a whole, so
a new block is one new file:

    @register(rule=conv_rule)
    class MyConv(nn.Module):
        def __init__(self, c1, c2, k=1, s=1): ...

A *rule* turns what a YAML row says into constructor arguments. It is the only place that knows how a block's channels
follow from its inputs, and it lives with the block (or is one of the common rules below).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from models.errors import ConfigError

ConvClass = type[nn.Module]
"""Annotation of a constructor parameter that takes a convolution block; the parser looks its name up."""


@dataclass(frozen=True)
class RowContext:
    """What a rule may know about the row that it plans.

    Attributes:
        in_channels: channels of each input, in the order of the row's `from`.
        repeats: the row's number after the depth multiple, at least 1.
        width_multiple: factor for the channels that the row asks for.
        num_classes: number of classes of the detector.
        anchors: per level, `w0, h0, w1, h1, ...` in input pixels, or the number of anchors per level.
        channel_multiple: what scaled channels are rounded up to a multiple of.
    """

    in_channels: tuple[int, ...]
    repeats: int = 1
    width_multiple: float = 1.0
    num_classes: int = 80
    anchors: Any = None
    channel_multiple: int = 8

    def scaled(self, channels: float) -> int:
        """Channels after the width multiple, rounded up to a multiple of `channel_multiple`."""
        if isinstance(channels, bool) or not isinstance(channels, int | float) or channels <= 0:
            raise ConfigError(f"output channels must be a positive number, not {channels!r}")
        return math.ceil(channels * self.width_multiple / self.channel_multiple) * self.channel_multiple


@dataclass(frozen=True)
class RowPlan:
    """Constructor arguments of one row, its output channels, and how often the block stands in sequence."""

    args: tuple[Any, ...]
    out_channels: int
    repeats: int = 1


Rule = Callable[[RowContext, list[Any]], RowPlan]


@dataclass(frozen=True)
class Entry:
    """A registered block."""

    name: str
    block: type[nn.Module]
    rule: Rule


_ENTRIES: dict[str, Entry] = {}


def register(name: str | None = None, *, rule: Rule) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Class decorator that makes a block known under `name` (default: the class name).

    Raises:
        ValueError: the name is taken by another class.
    """

    def decorate(block: type[nn.Module]) -> type[nn.Module]:
        key = name or block.__name__
        known = _ENTRIES.get(key)
        if known is not None and known.block is not block:
            raise ValueError(f"block name {key!r} is already registered by {known.block.__module__}; choose another")
        _ENTRIES[key] = Entry(key, block, rule)
        return block

    return decorate


def lookup(name: str) -> Entry:
    """The entry of a block name.

    Raises:
        ConfigError: no such block; the message suggests the nearest name.
    """
    try:
        return _ENTRIES[name]
    except KeyError:
        near = difflib.get_close_matches(name, _ENTRIES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known blocks: {', '.join(sorted(_ENTRIES))}"
        raise ConfigError(f"unknown block {name!r}; {hint}") from None


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_ENTRIES)


def single_input(context: RowContext) -> int:
    """The channels of a row that takes exactly one input.

    Raises:
        ConfigError: the row has several inputs.
    """
    if len(context.in_channels) != 1:
        raise ConfigError(f"takes one input, but 'from' names {len(context.in_channels)}; put a Concat row before it")
    return context.in_channels[0]


def conv_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[c2, ...]` -> `(c1, scaled c2, ...)`; repeats stand in sequence."""
    c1 = single_input(context)
    if not args:
        raise ConfigError("needs its output channels as first argument")
    c2 = context.scaled(args[0])
    return RowPlan((c1, c2, *args[1:]), c2, context.repeats)


def csp_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[c2, ...]` -> `(c1, scaled c2, repeats, ...)`: the block repeats its inner part itself."""
    plan = conv_rule(context, args)
    c1, c2, *rest = plan.args
    return RowPlan((c1, c2, context.repeats, *rest), plan.out_channels)


def same_channels_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """Arguments pass unchanged, and so do the channels (pooling, upsampling, padding)."""
    return RowPlan(tuple(args), single_input(context), context.repeats)
