"""What a field of the options says about itself: its flag, its help, and the values that it takes.

It stands in the metadata of the dataclass field, so that an option is written once: `engine.cli.flags` makes the
parsers from it, and `check_values` refuses the same values where the options are made in Python.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import PurePath
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.errors import EngineError
from files.words import short

Options = TypeVar("Options", bound=type)
TextRule = Callable[[str], str]
"""What is wrong with a text, and the remedy; "" for nothing."""


@dataclass(frozen=True)
class Numbers:
    """The numbers that an option takes.

    Attributes:
        kind: whole numbers or floating-point ones.
        least, most: both are allowed.
    """

    kind: type[int] | type[float]
    least: float
    most: float = math.inf

    @property
    def wanted(self) -> str:
        """What numbers these are, in words."""
        what = "a whole number" if self.kind is int else "a number"
        if math.isinf(self.most):
            return f"{what} of at least {self.least:,}"
        return f"{what} from {self.least:,} to {self.most:,}"

    def holds(self, value: Any) -> bool:
        """Whether the option takes the value; NaN never."""
        is_number = isinstance(value, int if self.kind is int else int | float) and not isinstance(value, bool)
        return is_number and self.least <= value <= self.most

    def parse(self, text: str) -> int | float:
        """The number that a text means.

        Raises:
            ValueError: it means none, or one outside the range.
        """
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or not self.holds(value):
            raise ValueError(f"{short(text)} is not {self.wanted}")
        return value


UNIT_INTERVAL = Numbers(float, 0, 1)


def whole(least: int, most: int) -> Numbers:
    """Whole numbers in a range. Every one has an upper end: a slip of the finger fills no memory."""
    return Numbers(int, least, most)


def filled(text: str) -> str:
    """The rule of a text that must say something: a shell makes an empty one of a variable that is not set."""
    return "" if text.strip() else "is empty; write a value, or leave the flag out"


def below_project(text: str) -> str:
    """The rule of a run's name: a folder below `--project`."""
    path = PurePath(text)
    if not text.strip():
        return filled(text)
    if not text.isprintable():
        return f"{short(text)} has characters that cannot be shown; choose another name"
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return f"{short(text)} is no folder below --project; write its name alone, and the place into --project"
    return ""


@dataclass(frozen=True)
class Flag:
    """See `flag`."""

    help: str
    aliases: tuple[str, ...] = ()
    numbers: Numbers | None = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    alone: str | None = None
    text: TextRule | None = None

    def fault(self, value: Any) -> str:
        """What is wrong with a value of the right type; "" for nothing."""
        if self.numbers is not None:
            return "" if self.numbers.holds(value) else f"{short(value)} is not {self.numbers.wanted}"
        if self.choices and value not in self.choices:
            return f"{short(value)} is not one of {', '.join(self.choices)}"
        if isinstance(value, str) and "\0" in value:
            return f"{short(value)} has a zero character; write it without"
        return self.text(value) if self.text is not None and isinstance(value, str) else ""


def flag(
    help: str,  # noqa: A002 (argparse's word)
    *aliases: str,
    numbers: Numbers | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    alone: str | None = None,
    text: TextRule | None = None,
) -> dict[str, Flag]:
    """Metadata for a field of a dataclass of options. A field `batch_size` has the flag `--batch-size`.

    Args:
        help: what `--help` says. The default is added to it, unless it speaks of it itself.
        aliases: other names of the flag.
        numbers: the option takes numbers, and these; text without it.
        choices: the texts that it takes; () takes any.
        metavar: what `--help` calls its value.
        alone: what the flag means when no value follows; None demands a value.
        text: the rule of its texts, such as `filled`; None takes any.
    """
    return {"flag": Flag(help, aliases, numbers, choices, metavar, alone, text)}


def flags_of(options: Any) -> Iterator[tuple[Field[Any], Flag]]:
    """The fields of a dataclass of options (or of a value of it) that have a flag."""
    for field in fields(options):
        if "flag" in field.metadata:
            yield field, field.metadata["flag"]


def flag_name(field: Field[Any]) -> str:
    """`--batch-size` for `batch_size`."""
    return "--" + field.name.replace("_", "-")


def documented(options: Options) -> Options:
    """Class decorator, outside of `dataclass`: Python's `help` says of every option what `--help` says of its flag."""
    lines = [f"    {field.name}: {flag.help}." for field, flag in flags_of(options)]
    options.__doc__ = "\n".join((inspect.cleandoc(options.__doc__ or ""), "", "Attributes:", *lines))
    return options


def check_values(options: Any) -> None:
    """Checks every option: its type, then its range, choices or rule. The default is allowed always: it may stand for
    "not given". Paths become texts, since a checkpoint keeps plain values only.

    Raises:
        EngineError: the first value that its option does not take.
    """
    types = get_type_hints(type(options))
    for field, flag in flags_of(options):
        value = getattr(options, field.name)
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
            object.__setattr__(options, field.name, value)
        if fault := fault_of(field, flag, value, types[field.name]):
            raise EngineError(f"{flag_name(field)}: {fault}")


def fault_of(field: Field[Any], flag: Flag, value: Any, kind: Any) -> str:
    """What is wrong with the value of an option; "" for nothing.

    Args:
        kind: the type of the field.
    """
    if field.default is not MISSING and type(value) is type(field.default) and value == field.default:
        return ""
    if isinstance(field.default, tuple) and not isinstance(value, tuple):
        return f"{short(value)} is not a tuple; write ({short(value)},)"
    for one in value if isinstance(value, tuple) else (value,):
        # what has a range or choices says so itself, in better words
        if flag.numbers is None and not flag.choices and not _is_of(one, kind):
            return f"{short(one)} is not {_KINDS[_kinds(kind)[0]]}"
        if fault := flag.fault(one):
            return fault
    return ""


_KINDS = {bool: "True or False", str: "a text"}


def _kinds(kind: Any) -> tuple[type, ...]:
    """The plain types that a field's values have, those inside a tuple too."""
    if get_origin(kind) in (Union, UnionType):
        return tuple(one for part in get_args(kind) for one in _kinds(part))
    return tuple(one for one in get_args(kind) if one is not ...) if get_origin(kind) is tuple else (kind,)


def _is_of(value: Any, kind: Any) -> bool:
    kinds = _kinds(kind)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)
