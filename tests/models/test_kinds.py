"""Values of another kind, or out of range, in the arguments of any block: one line that says what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models import build_model
from models.errors import ConfigError
from models.kinds import fits, wanted
from models.registry import names

HEAD = [[[-1], 1, "Detect", ["nc", "anchors"]]]


def refusal(*row: Any, before: Sequence[Any] = (-1, 1, "Conv", [8, 3, 2])) -> str:
    config = {"nc": 2, "anchors": [[4, 5]], "backbone": [list(before), list(row)], "head": HEAD}
    with pytest.raises(ConfigError) as caught:
        build_model(config)
    message = str(caught.value)
    assert "\n" not in message
    assert f"row 1 ({row[2]})" in message
    return message


@pytest.mark.parametrize(
    ("block", "args", "kwargs", "expected"),
    [
        ("Conv", [1.5, 3, 2], {}, "output channels must be a whole number from 1, not 1.5"),
        ("Conv", [True, 3], {}, "output channels must be a whole number from 1, not True"),
        ("Conv", [8, True], {}, "k must be a whole number"),
        ("Conv", [8, 3.0], {}, "k must be a whole number"),
        ("Conv", [8, "3"], {}, "k must be a whole number"),
        ("Conv", [8, [3, 3, 3]], {}, "k must be at least 1, not [3, 3, 3]|k must be|cannot be built"),
        ("Conv", [8, 0], {}, "k must be at least 1, not 0"),
        ("Conv", [8, [3, -1]], {}, "k must be at least 1, not [3, -1]"),
        ("Conv", [8, 3, 0], {}, "s must be at least 1, not 0"),
        ("Conv", [8, 3, 1, -1], {}, "p must be at least 0, not -1"),
        ("Conv", [8, 3, 1, None, 0], {}, "g must be at least 1, not 0"),
        ("Conv", [8, 3], {"d": -1}, "d must be at least 1, not -1"),
        ("Conv", [8, 3], {"act": 1}, "act must be true or false"),
        ("SAConv2d", [8, 3, 1, None, 1, 0], {}, "d must be at least 1, not 0"),
        ("SAConv2d", [8, 3], {"use_deform": "false"}, "use_deform must be true or false, not 'false'"),
        ("SAConv2d", [8, 3], {"use_deform": 0}, "use_deform must be true or false, not 0"),
        ("SPConv", [8, 3, 1], {"ratio": math.nan}, "ratio must be finite"),
        ("SPConv", [8, 3, 1, "0.5"], {}, "ratio must be a number, not '0.5'"),
        ("C3", [8, "yes"], {}, "shortcut must be true or false, not 'yes'"),
        ("C3", [8, True, 1, True], {}, "e must be a number, not True"),
        ("C3", [8], {"e": 0.01}, "some of its channels are 0"),
        ("C3", [8], {"conv": "SAConv2d", "use_deform": "false"}, "use_deform must be true or false"),
        ("C3", [8], {"conv": "SAConv2d", "d": 0}, "d must be at least 1"),
        ("C3TR", [8], {"g": 0}, "g must be at least 1"),
        ("SPP", [8, [5, 9.0]], {}, "k must be a list of (a whole number)"),
        ("SPP", [8, [5, 0]], {}, "k must be at least 1"),
        ("MixConv2d", [8, [1, 3], 1, "no"], {}, "equal_ch must be true or false"),
        ("TransformerBlock", [8, 2, 0], {}, "num_layers must be at least 1"),
        ("nn.Conv2d", [8, 0], {}, "kernel_size must be at least 1"),
        ("nn.Conv2d", [8, 3], {"bias": "no"}, "bias must be true or false, not 'no'"),
        ("nn.Conv2d", [8, 3], {"dilation": 0}, "dilation must be at least 1"),
        ("nn.MaxPool2d", [2, -2], {}, "stride must be at least 1|does not fit|cannot be built"),
        ("nn.Upsample", [None, math.inf], {}, "scale_factor must be finite"),
        ("nn.Upsample", [None, True], {}, "scale_factor must be a number"),
        ("Concat", [True], {}, "dimension must be a whole number|takes one"),
    ],
)
def test_a_wrong_kind_is_refused(block: str, args: list[Any], kwargs: dict[str, Any], expected: str) -> None:
    row = (-1, 1, block, args, kwargs) if kwargs else (-1, 1, block, args)
    message = refusal(*row)
    assert any(words in message for words in expected.split("|")), message


def test_a_head_stands_once() -> None:
    row = [[-1], 2, "Detect", ["nc", "anchors"]]
    with pytest.raises(ConfigError, match=r"row 1 \(Detect\): a detection head stands once, not 2 times; write"):
        build_model({"nc": 2, "anchors": [[4, 5]], "backbone": [[-1, 1, "Conv", [8, 3, 2]]], "head": [row]})


PLAIN = st.none() | st.booleans() | st.integers(-3, 400) | st.floats() | st.text(max_size=3)


@contextmanager
def one_line() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        message = str(error)
        if "\n" in message or len(message) > 1500:
            raise AssertionError(message) from error
        raise


@given(
    block=st.sampled_from(sorted(set(names()) - {"Detect"})),
    args=st.lists(PLAIN | st.lists(PLAIN, max_size=3), max_size=6),
    kwargs=st.dictionaries(st.sampled_from(["k", "s", "d", "g", "e", "act", "use_deform", "conv"]), PLAIN, max_size=2),
)
def test_whatever_a_row_says_it_is_built_or_refused_in_one_line(
    block: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    row = [-1, 1, block, args, kwargs] if kwargs else [-1, 1, block, args]
    with suppress(ConfigError), one_line():
        build_model({"nc": 2, "anchors": [[4, 5]], "backbone": [[-1, 1, "Conv", [8, 3, 2]], row], "head": HEAD})


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (False, float, False),
        (1, bool, False),
        (None, int | None, True),
        ([1, 2], tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        ([1, "a"], Sequence[int], False),
        ([[1.0], [2]], Sequence[Sequence[float]], True),
        ("zeros", Literal["zeros", "same"], True),
        (True, Literal[1, 2], False),
        (nn.ReLU, type[nn.Module], True),
        ("ReLU", type[nn.Module], False),
        (object(), Any, True),
    ],
)
def test_what_fits_an_annotation(value: Any, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected


def test_annotations_in_words() -> None:
    assert wanted(int | tuple[int, int] | None) == "a whole number, a list of 2 (a whole number) or null"
