"""Channel rules: from what a YAML row says to the arguments of a block's constructor.

A rule is the only place that knows how a block's channels follow from its inputs. It lives with the block, or is one of
the common ones here.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from files.problems import short
from models.budget import current_budget
from models.errors import ConfigError


@dataclass(frozen=True)
class RowContext:
    """What a rule may know about the row that it plans.

    Attributes:
        in_channels: channels of each input, in the order of the row's `from`.
        repeats: the row's number after the depth multiple, at least 1.
        width_multiple: factor for the channels that the row asks for.
        channel_multiple: what scaled channels are rounded up to a multiple of.
        max_channels: what the row's channels are cut to before the multiple; None: they are not.
        scale: name of the model's size, such as `n`; None: it has none.
    """

    in_channels: tuple[int, ...]
    repeats: int = 1
    width_multiple: float = 1.0
    channel_multiple: int = 8
    max_channels: int | None = None
    scale: str | None = None

    def scaled(self, channels: int) -> int:
        """Channels, at most `max_channels`, after the width multiple, rounded up to a multiple of `channel_multiple`.

        Raises:
            ConfigError: not a whole number from 1, or more than the budget allows.
        """
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ConfigError(f"output channels must be a whole number from 1, not {short(channels)}")
        budget = current_budget()
        budget.check("channels", channels)
        if self.max_channels is not None:
            channels = min(channels, self.max_channels)
        budget.check("channels", channels * self.width_multiple, "{} channels after the width multiple")
        return math.ceil(channels * self.width_multiple / self.channel_multiple) * self.channel_multiple


@dataclass(frozen=True)
class RowPlan:
    """Constructor arguments of one row, its output channels, and how often the block stands in sequence.

    Attributes:
        args: positional arguments.
        out_channels: channels of the row's output.
        repeats: how often the block stands in sequence.
        kwargs: keyword arguments, which win over those of the row.
    """

    args: tuple[Any, ...]
    out_channels: int
    repeats: int = 1
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def with_arguments(self, block: Callable[..., Any], **values: Any) -> RowPlan:
        """The same plan in which these arguments of `block`'s constructor have these values, whatever the row says."""
        names = list(inspect.signature(block).parameters)[: len(self.args)]
        args = tuple(values.get(name, arg) for name, arg in zip(names, self.args, strict=False))
        kwargs = {name: value for name, value in values.items() if name not in names}
        return replace(self, args=(*args, *self.args[len(names) :]), kwargs={**self.kwargs, **kwargs})


Rule = Callable[[RowContext, list[Any]], RowPlan]


def single_input(context: RowContext) -> int:
    """The channels of a row that takes exactly one input.

    Raises:
        ConfigError: the row has several inputs.
    """
    if len(context.in_channels) != 1:
        raise ConfigError(f"takes one input, but 'from' names {len(context.in_channels)}; put a Concat row before it")
    return context.in_channels[0]


def conv_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[c2, ...]` -> `(c1, scaled c2, ...)`; repeats stand in sequence.

    Raises:
        ConfigError: the row has several inputs, no argument, or a c2 that is not a positive number.
    """
    c1 = single_input(context)
    if not args:
        raise ConfigError("needs its output channels as first argument")
    c2 = context.scaled(args[0])
    return RowPlan((c1, c2, *args[1:]), c2, context.repeats)


def csp_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[c2, ...]` -> `(c1, scaled c2, repeats, ...)`: the block repeats its inner part itself.

    Raises:
        ConfigError: see `conv_rule`.
    """
    plan = conv_rule(context, args)
    c1, c2, *rest = plan.args
    return RowPlan((c1, c2, context.repeats, *rest), plan.out_channels)


def same_channels_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """Arguments pass unchanged, and so do the channels (pooling, upsampling, padding).

    Raises:
        ConfigError: the row has several inputs.
    """
    return RowPlan(tuple(args), single_input(context), context.repeats)
