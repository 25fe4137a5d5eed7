"""From pydantic's findings to the one that a message is about."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from files.words import short

__all__ = ["Problem", "first_problem", "short"]


_NUMBERS = frozenset({"int_type", "int_parsing", "float_type", "float_parsing"})

_TEXTS = {
    "string_type": "must be a text",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list, as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a map, as {{key: value}}"),
    "path_type": "must be a path",
    "string_too_short": "is empty",
    "too_short": "has {actual_length} entries, and needs {min_length} or more",
    "finite_number": "must be finite",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}
"""What is wrong, in our words, by pydantic's name of the mistake; other names keep pydantic's words."""


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
    kind, value = first["type"], first["input"]
    said = _TEXTS.get(kind, first["msg"].removeprefix("Value error, ")).format(**first.get("ctx", {}))
    text = said[:1].lower() + said[1:] if said[1:2].islower() else said  # YAML and COCO stay what they are
    return Problem(first["loc"], kind, value, f"{text}{_remedy(kind, value)}")


def _remedy(kind: str, value: Any) -> str:
    """What to write where that follows from the value: `; ...`, or nothing."""
    if kind == "string_type" and isinstance(value, int | float):
        return "; put it in quotes"  # for yes and no, too, which YAML takes for true and false
    if kind in _NUMBERS and isinstance(value, str) and value.strip().isdecimal():
        return "; write it without quotes"
    return ""
