"""From a checked configuration to modules: names looked up, channels followed through the graph, blocks constructed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import models.blocks
import models.heads  # noqa: F401  (both folders register what they hold)
from models.arguments import construct, resolve_argument
from models.blocks.activation import ActivationFactory, default_activation, parse_activation
from models.budget import IMAGE_SIDE, counted, current_budget
from models.config.schema import ModelConfig, RowSpec
from models.errors import BudgetError, ConfigError
from models.heads.base import DetectionHead
from models.registry import Entry, RowContext, RowPlan, lookup

log = logging.getLogger(__name__)

IMAGE = -1
"""The index of the image among the sources of a row."""


@dataclass(frozen=True)
class Row:
    """One row of a built model.

    Attributes:
        index: number of the row, and of its module.
        sources: absolute indices of the rows that it takes; `IMAGE` is the input.
        takes_list: whether the module gets a list of tensors, as rows with a list of sources do.
        source: `from` as written.
        block: registered name.
        arguments: what the constructor got, for people.
        out_channels: channels of its output.
        location: file, line, row number and block, for error messages.
    """

    index: int
    sources: tuple[int, ...]
    takes_list: bool
    source: int | list[int]
    block: str
    arguments: str
    out_channels: int
    location: str


def build_rows(config: ModelConfig) -> tuple[list[Row], list[nn.Module]]:
    """The rows of a configuration and the module of each, ending in a detection head.

    Raises:
        ConfigError: an unknown block, arguments that it does not take, or a `from` out of range.
        BudgetError: more than a file may ask for.
    """
    budget = current_budget()
    try:
        budget.check("rows", len(config.rows))
        budget.check("channels", config.ch, "{} channels of the image")
        budget.check("activations", config.ch * IMAGE_SIDE**2, "{} numbers in a map of one image")
    except BudgetError as error:
        raise BudgetError(f"{config.origin}: {error}") from None
    _rehearse(config)
    with counted():
        return _build(config)


def _rehearse(config: ModelConfig) -> None:
    """Builds the model without storage, to see what it comes to before memory is filled.

    Raises:
        BudgetError: too much.
    """
    try:
        with counted(), torch.device("meta"):
            _build(config)
    except BudgetError:
        raise
    except ConfigError:
        pass  # a mistake, which shows again, or a block that looks at its first values


def _build(config: ModelConfig) -> tuple[list[Row], list[nn.Module]]:
    rows: list[Row] = []
    modules: list[nn.Module] = []
    channels = [config.ch]  # of the image, then of each row
    with default_activation(_activation(config)):
        for index, spec in enumerate(config.rows):
            try:
                row, module = _build_row(config, index, spec, channels)
            except ConfigError as error:
                raise type(error)(f"{config.locate(index)}: {error}") from error
            rows.append(row)
            modules.append(module)
            channels.append(row.out_channels)
    return rows, modules


def _build_row(config: ModelConfig, index: int, spec: RowSpec, channels: list[int]) -> tuple[Row, nn.Module]:
    entry = lookup(spec.module)
    _check_head_position(entry, index, len(config.rows))
    if issubclass(entry.block, DetectionHead) and isinstance(spec.source, int):
        raise ConfigError(f"'from' {spec.source} is one row, but a head takes a list of them; write [{spec.source}]")
    sources = _absolute_sources(spec.source, index)
    names = {"nc": config.nc, "anchors": config.anchors}
    budget = current_budget()
    budget.check("repeats", spec.number * config.depth_multiple if spec.number > 1 else 1)
    context = RowContext(
        in_channels=tuple(channels[source + 1] for source in sources),
        repeats=max(round(spec.number * config.depth_multiple), 1) if spec.number > 1 else spec.number,
        width_multiple=config.width_multiple,
        channel_multiple=config.channel_multiple,
        max_channels=config.max_channels,
        scale=config.scale,
    )
    if issubclass(entry.block, DetectionHead) and context.repeats > 1:
        raise ConfigError(f"a detection head stands once, not {context.repeats} times; write the number 1")
    plan = _plan(entry, context, [resolve_argument(arg, names) for arg in spec.args])
    budget.check("channels", plan.out_channels)
    kwargs = {key: resolve_argument(value, names) for key, value in spec.kwargs.items()} | dict(plan.kwargs)
    blocks = [construct(entry, plan.args, kwargs) for _ in range(plan.repeats)]
    arguments = ", ".join([*map(_show, plan.args), *(f"{key}={_show(value)}" for key, value in kwargs.items())])
    if plan.repeats > 1:
        arguments = f"{arguments} (x{plan.repeats})"
    takes_list = isinstance(spec.source, list)
    location = config.locate(index)
    row = Row(index, sources, takes_list, spec.source, entry.name, arguments, plan.out_channels, location)
    return row, blocks[0] if len(blocks) == 1 else nn.Sequential(*blocks)


def _plan(entry: Entry, context: RowContext, args: list[Any]) -> RowPlan:
    try:
        return entry.rule(context, args)
    except ConfigError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ConfigError(f"wrong arguments {args}: {error}; check their number and kind") from error


def _activation(config: ModelConfig) -> ActivationFactory:
    if config.activation is None:
        return nn.SiLU
    try:
        return parse_activation(config.activation)
    except ConfigError as error:
        raise ConfigError(f"{config.locate_key('activation')}: {error}") from error


def warn_of_unread_rows(rows: Sequence[Row]) -> None:
    """Says of every row whose output nobody takes that this is so, and why it may be.

    The usual reason: a row was inserted, and the rows after it that name others by their index were not shifted.
    """
    read = {source for row in rows for source in row.sources}
    for row in rows[:-1]:
        if row.index in read:
            continue
        naming = [
            str(later.index)
            for later in rows
            if any(number >= 0 for number in (later.source if isinstance(later.source, list) else [later.source]))
        ]
        cause = (
            f"was a row inserted or removed without shifting the indices that 'from' names in rows {', '.join(naming)}?"
            if naming
            else "remove it, or name it in the 'from' of a later row"
        )
        log.warning("%s: no row reads its output; %s", row.location, cause)


def _absolute_sources(source: int | list[int], index: int) -> tuple[int, ...]:
    """Indices of the rows that row `index` takes; negative ones count back from it."""
    given = source if isinstance(source, list) else [source]
    if not given:
        raise ConfigError("'from' is an empty list; name at least one row")
    sources = []
    for number in given:
        absolute = index + number if number < 0 else number
        if index == 0 and number == IMAGE:
            absolute = IMAGE
        elif not 0 <= absolute < index:
            allowed = f"0 to {index - 1} or -{index} to -1" if index else "-1, the image"
            raise ConfigError(f"'from' {number} is out of range; here it may be {allowed}")
        sources.append(absolute)
    return tuple(sources)


def _check_head_position(entry: Entry, index: int, count: int) -> None:
    is_head, is_last = issubclass(entry.block, DetectionHead), index == count - 1
    if is_last and not is_head:
        raise ConfigError("the last row must be a detection head, such as [[17, 20, 23], 1, Detect, [nc, anchors]]")
    if is_head and not is_last:
        raise ConfigError("a detection head must be the last row; move it to the end, or remove the rows after it")


def _show(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_show, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
