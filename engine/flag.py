"""What a field of the options says about itself: its flag, its help, and the values that it takes.

It stands in the metadata of the dataclass field, so that an option is written once: `engine.cli.flags` makes the
parsers from it, and `check_values` refuses the same values where the options are made in Python.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeVar

from engine.errors import EngineError

Options = TypeVar("Options", bound=type)


@dataclass(frozen=True)
class Numbers:
    """The numbers that an option takes.

    Attributes:
        kind: whole numbers or floating-point ones.
        wanted: what numbers these are, in words, for messages.
        least, most: both are allowed.
    """

    kind: type[int] | type[float]
    wanted: str
    least: float
    most: float = math.inf

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
            raise ValueError(f"{text!r} is not {self.wanted}")
        return value


POSITIVE = Numbers(int, "a whole number of at least 1", 1)
NON_NEGATIVE = Numbers(int, "a whole number of at least 0", 0)
UNIT_INTERVAL = Numbers(float, "a number between 0 and 1", 0, 1)


@dataclass(frozen=True)
class Flag:
    """See `flag`."""

    help: str
    aliases: tuple[str, ...] = ()
    numbers: Numbers | None = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    alone: str | None = None
    filled: bool = False

    def admits(self, value: Any) -> bool:
        """Whether the option takes the value; what has neither range nor choices takes any."""
        if self.filled:
            return isinstance(value, str) and bool(value.strip())
        if self.numbers is not None:
            return self.numbers.holds(value)
        return not self.choices or value in self.choices

    @property
    def wanted(self) -> str:
        """The values that the option takes, in words."""
        if self.filled:
            return "a text that is not empty"
        return self.numbers.wanted if self.numbers is not None else f"one of {', '.join(self.choices)}"


def flag(
    help: str,  # noqa: A002 (argparse's word)
    *aliases: str,
    numbers: Numbers | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    alone: str | None = None,
    filled: bool = False,
) -> dict[str, Flag]:
    """Metadata for a field of a dataclass of options. A field `batch_size` has the flag `--batch-size`.

    Args:
        help: what `--help` says. The default is added to it, unless it speaks of it itself.
        aliases: other names of the flag.
        numbers: the option takes numbers, and these; text without it.
        choices: the texts that it takes; () takes any.
        metavar: what `--help` calls its value.
        alone: what the flag means when no value follows; None demands a value.
        filled: it takes no empty text, which a shell makes of a variable that is not set.
    """
    return {"flag": Flag(help, aliases, numbers, choices, metavar, alone, filled)}


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
    """Checks every option that has a range or choices. The default is allowed always: it may stand for "not given".

    Raises:
        EngineError: the first value that its option does not take.
    """
    for field, flag in flags_of(options):
        value = getattr(options, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if isinstance(field.default, tuple) and not isinstance(value, tuple):
            raise EngineError(f"{flag_name(field)}: {value!r} is not a tuple; write ({value!r},)")
        for one in value if isinstance(value, tuple) else (value,):
            if not flag.admits(one):
                raise EngineError(f"{flag_name(field)}: {one!r} is not {flag.wanted}")
