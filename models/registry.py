"""The blocks that a model YAML may name, and what each says of itself.

A block registers itself with one decorator; the folders `models/blocks` and `models/heads` are imported as a whole, so
a new block is one new file:

    @register(rule=conv_rule)
    class MyConv(nn.Module):
        def __init__(self, c1, c2, k=1, s=1): ...

The decorator says how channels follow from the row (`rule`, see `models.rules`), which constructor arguments take a
convolution block (`conv_slots`), and how weights of other convolutions are taken over (`takes_over`, see
`models.takeover`). Nothing outside the file names the block.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from files.hints import did_you_mean
from files.problems import short
from models.errors import ConfigError
from models.rules import RowContext, RowPlan, Rule, conv_rule, csp_rule, same_channels_rule, single_input
from models.takeover import Takeover

__all__ = [
    "ConvClass",
    "Entry",
    "RowContext",
    "RowPlan",
    "Rule",
    "conv_rule",
    "csp_rule",
    "entries",
    "lookup",
    "names",
    "register",
    "same_channels_rule",
    "single_input",
]

ConvClass = type[nn.Module]
"""For people: the annotation of a constructor argument that takes a convolution block. `conv_slots` names it."""


@dataclass(frozen=True)
class Entry:
    """A registered block.

    Attributes:
        name: what a YAML calls it.
        block: its class.
        rule: from a row to constructor arguments.
        conv_slots: constructor arguments that take the class of a convolution; a YAML gives its name.
        takes_over: how weights come into the block and out of it; None: tensors of the same name and shape only.
    """

    name: str
    block: type[nn.Module]
    rule: Rule
    conv_slots: tuple[str, ...] = ()
    takes_over: Takeover | None = None


_ENTRIES: dict[str, Entry] = {}


def register(
    name: str | None = None, *, rule: Rule, conv_slots: tuple[str, ...] = (), takes_over: Takeover | None = None
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Class decorator that makes a block known under `name` (default: the class name); see `Entry`.

    Raises:
        ValueError: the name is taken by another class, a slot is no argument of the constructor, or another block is
            known by the same tensors.
    """

    def decorate(block: type[nn.Module]) -> type[nn.Module]:
        key = name or block.__name__
        entry = Entry(key, block, rule, conv_slots, takes_over)
        _check(entry)
        _ENTRIES[key] = entry
        return block

    return decorate


def _check(entry: Entry) -> None:
    known = _ENTRIES.get(entry.name)
    if known is not None and known.block is not entry.block:
        raise ValueError(f"block name {entry.name!r} is already registered by {known.block.__module__}; choose another")
    absent = [slot for slot in entry.conv_slots if slot not in inspect.signature(entry.block).parameters]
    if absent:
        raise ValueError(f"block {entry.name!r} has no constructor argument {absent[0]!r}; see its conv_slots")
    marks = {known.takes_over.marks: known.name for known in entries() if known.takes_over}
    if entry.takes_over and marks.get(entry.takes_over.marks, entry.name) != entry.name:
        given = entry.takes_over.marks
        raise ValueError(f"blocks {entry.name!r} and {marks[given]!r} are both known by {given}; rename a tensor")


def lookup(name: str) -> Entry:
    """The entry of a block name.

    Raises:
        ConfigError: no such block; the message suggests the nearest name.
    """
    try:
        return _ENTRIES[name]
    except KeyError:
        hint = did_you_mean(name, sorted(_ENTRIES), f"known blocks: {', '.join(sorted(_ENTRIES))}")
        raise ConfigError(f"unknown block {short(name)}; {hint}") from None


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_ENTRIES)


def entries() -> Iterator[Entry]:
    """All registered blocks, in the order in which they became known."""
    yield from _ENTRIES.values()
