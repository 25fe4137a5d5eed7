"""Python literals in metadata are read as Python reads them, and nothing is evaluated."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backends.literals import parse_json, parse_names, parse_numbers

_NAMES = st.lists(st.text(max_size=12), min_size=1, max_size=5)


@given(_NAMES)
def test_as_python_reads_them(names: list[str]) -> None:
    for text in (repr(dict(enumerate(names))), repr(names), repr(tuple(names))):
        assert parse_names(text) == tuple(names) == tuple(_values(ast.literal_eval(text)))


def _values(literal: object) -> list[str]:
    return list(literal.values()) if isinstance(literal, dict) else list(literal)  # type: ignore[call-overload]


def test_order_follows_the_numbers() -> None:
    assert parse_names("{1: 'b', 0: \"a\"}") == ("a", "b")
    assert parse_names('{"1": "b", "0": "a"}') == ("a", "b")
    assert parse_names(" {0: 'a',} ") == ("a",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "{0: 'a', 0: 'b'}",
        "{0: 'a', 2: 'b'}",
        "{0: 'a' 'b'}",
        "{0: a}",
        "{0: 'a'}; import os",
        "{0: __import__('os')}",
        "{0: 'a', 'b'}",
        "['a', 1: 'b']",
        "{0: 'a]",
        "[" * 100_000,
        "{9999999999: 'a'}",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_names(text) is None


def test_numbers() -> None:
    assert parse_numbers("32") == (32,)
    assert parse_numbers("[640, 320]") == (640, 320)
    assert parse_numbers("(1,)") == (1,)
    for text in ("", "[]", "a", "1.5", "-3", "[[1]]", "1" * 300):
        assert parse_numbers(text) is None


def test_json_or_text() -> None:
    assert parse_json("[1, 2]") == [1, 2]
    assert parse_json("false") is False
    assert parse_json("fp32") == "fp32"
    assert parse_json("[" * 200_000) == "[" * 200_000
