"""Names as a terminal may show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from files.printable import encodable, printable, printable_lines, spelt_out

ANY_TEXT = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 汉字 🚗 a\u200db.jpg", "größe 汉字 🚗 a\u200db.jpg"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\nc\td\x00\x7f\x9b", "a\\rb\\nc\\td\\x00\\x7f\\x9b"),
        ("bytes \udcff\udc80", "bytes \\xff\\x80"),
        ("half \ud83d", "half \\ud83d"),
        ("gpj.\u202eexe\u2028", "gpj.\\u202eexe\\u2028"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_is_no_visible_character_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_any_text_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    shown.encode()
    assert printable(shown) == shown
    assert encodable(shown, "ascii").isascii()


def test_lines_stay_lines() -> None:
    assert printable_lines("a\tb\n\x1b[2Jc\r\n") == "a\tb\n\\x1b[2Jc\\r\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "gr\\xf6\\xdfe \\u6c49"), ("latin-1", "größe \\u6c49"), ("utf-8", "größe 汉"), (None, "größe 汉")],
)
def test_what_an_encoding_does_not_have_is_escaped(encoding: str | None, shown: str) -> None:
    assert encodable("größe 汉", encoding) == shown


@pytest.mark.parametrize(
    ("letter", "written"),
    [("🚗", ":automobile:"), ("汉", "\\u6c49"), ("\U00012345", "\\U00012345"), ("\ue000", "\\ue000")],
)
def test_letters_without_a_font(letter: str, written: str) -> None:
    assert spelt_out(letter) == written
