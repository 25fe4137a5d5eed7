"""From pydantic's findings to the one that a message is about."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from files.words import short

__all__ = ["Problem", "first_problem", "short"]


class Problem(NamedTuple):
    """One mistake.

    Attributes:
        location: keys and indices from the top to the entry; pydantic appends the member of a union that it tried.
        kind: pydantic's name of the mistake, or that of a `PydanticCustomError`; see `is_unknown` and `is_missing`.
        value: what the entry holds.
        text: what is wrong, beginning with a small letter.
    """

    location: tuple[str | int, ...]
    kind: str
    value: Any
    text: str

    @property
    def entry(self) -> str:
        """The location with dots: `val.images`."""
        return ".".join(map(str, self.location))

    @property
    def is_unknown(self) -> bool:
        """Whether the entry is one that nobody reads."""
        return self.kind == "extra_forbidden"

    @property
    def is_missing(self) -> bool:
        """Whether the entry ought to be there."""
        return self.kind == "missing"

    @property
    def is_own(self) -> bool:
        """Whether the text is a validator's of ours, not one of pydantic's."""
        return self.kind == "value_error"

    def sentence(self) -> str:
        """`entry: value: what is wrong`; a validator of ours names the value itself where that helps."""
        given = "" if self.is_own else f"{short(self.value)}: "
        return f"{self.entry}: {given}{self.text}"


def first_problem(error: ValidationError) -> Problem:
    """The mistake to report: an unknown entry first, since a misspelt one makes its right name missing."""
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    text = first["msg"].removeprefix("Value error, ")
    return Problem(first["loc"], first["type"], first["input"], text[:1].lower() + text[1:])
