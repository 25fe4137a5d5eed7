"""Words of messages: those that depend on a number, and values that may be long."""

from __future__ import annotations

from typing import Any


def plural(number: int, one: str, many: str = "") -> str:
    """The word for so many things: `one`, or `many` (default: `one` with an s)."""
    return one if number == 1 else many or f"{one}s"


def count(number: int, one: str, many: str = "") -> str:
    """`1 image`, `3 images`; see `plural`."""
    return f"{number} {plural(number, one, many)}"


def short(value: Any, most: int = 60) -> str:
    """The value's `repr`, cut to `most` characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no numbers of thousands of digits
        text = "a number of thousands of digits"
    return cut(text, most)


def cut(text: str, most: int) -> str:
    """The text, cut to `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
