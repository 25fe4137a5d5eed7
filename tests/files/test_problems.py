"""The one of pydantic's findings that a message is about."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from files.problems import Problem, first_problem, short


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = Field(gt=0)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner
    names: list[str] = []
    rate: float = Field(default=1.0, strict=True)

    @field_validator("names")
    @classmethod
    def _own_check(cls, names: list[str]) -> list[str]:
        if "bad" in names:
            raise ValueError("Write better names")
        return names


def problem(content: dict[str, Any]) -> Problem:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(content)
    return first_problem(caught.value)


def test_an_unknown_entry_goes_before_the_one_that_it_makes_missing() -> None:
    found = problem({"inner": {"cuont": 1}})
    assert found.is_unknown
    assert (found.entry, found.location) == ("inner.cuont", ("inner", "cuont"))
    assert problem({}).is_missing


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"inner": {"count": 0}}, "inner.count: 0: must be greater than 0"),
        ({"inner": {"count": 1}, "names": ["a", 2]}, "names.1: 2: must be a text; put it in quotes"),
        ({"inner": {"count": 1}, "names": "a"}, "names: 'a': must be a list, as [a, b]"),
        ({"inner": {"count": 1}, "rate": "1"}, "rate: '1': must be a number; write it without quotes"),
        ({"inner": {"count": 1}, "rate": "one"}, "rate: 'one': must be a number"),
        ({"inner": {"count": 1}, "names": ["bad"]}, "names: write better names"),
    ],
)
def test_a_sentence_names_entry_value_and_what_is_wrong(content: dict[str, Any], sentence: str) -> None:
    assert problem(content).sentence() == sentence


def test_long_values_are_cut() -> None:
    assert short("x" * 100) == "'" + "x" * 56 + "..."
    assert short([1, 2]) == "[1, 2]"
