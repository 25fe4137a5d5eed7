"""Text that a terminal can show as it is: names of files and classes may hold anything.

A name that holds an escape sequence would recolour a terminal or erase lines, one with a line break would forge lines,
one with marks of direction would turn words round, and one that is not valid UTF-8 cannot be encoded at all.
"""

from __future__ import annotations

import re
import unicodedata

_LINES = re.compile(
    # control characters but for tab and line feed; marks of direction; lone surrogates
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_ONE_LINE = re.compile(f"[\t\n]|{_LINES.pattern}")
_BREAKS = re.compile(r"\s*[\r\n]\s*")
_UNDECODED = range(0xDC80, 0xDD00)
"""What Python makes of bytes of a file name that are not UTF-8: 0xDC00 and the byte."""


class Lines(str):
    """Text of several lines, such as a table, that a message is to show as such; its names are escaped already."""

    __slots__ = ()


def printable(text: str) -> str:
    r"""A name as part of one line: what is no visible character is escaped, such as `\x1b`, `\n` and `\u202e`."""
    return _ONE_LINE.sub(_escape, text)


def one_line(message: str) -> str:
    """A message as one line: its line breaks are spaces, what is no visible character is escaped."""
    return printable(_BREAKS.sub(" ", message).strip())


def printable_lines(text: str) -> str:
    """The same for text of several lines, with tabs."""
    return _LINES.sub(_escape, text)


def encodable(text: str, encoding: str | None) -> str:
    r"""The text with what an encoding does not have escaped, such as `\u6c49` for ASCII."""
    name = encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)


def spelt_out(letter: str) -> str:
    r"""How to write a letter that no font has: `:automobile:` for a picture, `\u6c49` for a letter."""
    if unicodedata.category(letter) in ("So", "Sk") and (name := unicodedata.name(letter, "")):
        return f":{name.lower().replace(' ', '-')}:"
    return letter.encode("ascii", "backslashreplace").decode()


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _UNDECODED:
        return f"\\x{code - 0xDC00:02x}"
    short = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(match[0])
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
