"""Words of messages that depend on a number."""

from __future__ import annotations


def plural(number: int, one: str, many: str = "") -> str:
    """The word for so many things: `one`, or `many` (default: `one` with an s)."""
    return one if number == 1 else many or f"{one}s"


def count(number: int, one: str, many: str = "") -> str:
    """`1 image`, `3 images`; see `plural`."""
    return f"{number} {plural(number, one, many)}"
