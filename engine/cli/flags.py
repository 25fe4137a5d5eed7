"""Parsers made from the options: every field that has a flag is one, in the order of the fields."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field
from typing import Any

from engine.flag import UNIT_INTERVAL, Flag, Numbers, flag_name, flags_of, whole
from files.command import CommandParser


def options_parser(options: type, prog: str, description: str) -> argparse.ArgumentParser:
    """A parser for a dataclass of options.

    A flag that is not given stays absent from the result: the dataclass has the defaults, and whoever asks can tell
    what was given. A field without a default is a flag that must be given.
    """
    parser = CommandParser(prog, description, argument_default=argparse.SUPPRESS)
    for field, flag in flags_of(options):
        _add(parser, field, flag)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> dict[str, Any]:
    """What a command line gives, by field name; several values are a tuple, as the options hold them."""
    given = vars(parser.parse_args(argv))
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def argument_type(numbers: Numbers) -> Callable[[str], Any]:
    """argparse's `type` for numbers of a range."""

    def convert(text: str) -> int | float:
        try:
            return numbers.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


positive_int = argument_type(whole(1, 1_000_000))
unit_interval = argument_type(UNIT_INTERVAL)


def text_type(flag: Flag) -> Callable[[str], str]:
    """argparse's `type` for the texts of a flag."""

    def convert(text: str) -> str:
        if fault := flag.fault(text):
            raise argparse.ArgumentTypeError(fault)
        return text

    return convert


def _add(parser: argparse.ArgumentParser, field: Field[Any], flag: Flag) -> None:
    names = (flag_name(field), *flag.aliases)
    if isinstance(field.default, bool):
        parser.add_argument(*names, action="store_true", help=flag.help)
        return
    details: dict[str, Any] = {"help": flag.help + _default_note(field, flag), "required": field.default is MISSING}
    if flag.choices:
        details["choices"] = flag.choices
    else:
        details["type"] = text_type(flag) if flag.numbers is None else argument_type(flag.numbers)
    if flag.metavar is not None:
        details["metavar"] = flag.metavar
    if isinstance(field.default, tuple):
        details["nargs"] = "+"
    if flag.alone is not None:
        details.update(nargs="?", const=flag.alone)
    parser.add_argument(*names, **details)


def _default_note(field: Field[Any], flag: Flag) -> str:
    """` (default: 2)`, unless there is none, it says nothing, or the help speaks of it."""
    says_nothing = field.default is MISSING or field.default in ("", (), None)
    return "" if says_nothing or "default" in flag.help else f" (default: {field.default})"
