"""Texts in exported files that other programs wrote as Python literals, read without evaluating anything."""

from __future__ import annotations

import json
import re

_STRING = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_ENTRY = re.compile(rf"\s*(?:(?P<key>\d{{1,9}}|'\d{{1,9}}'|\"\d{{1,9}}\")\s*:\s*)?(?P<name>{_STRING})\s*(?P<end>,|$)")
_ESCAPE = re.compile(r"\\(?:u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|x(?P<x>[0-9a-fA-F]{2})|(?P<c>.))", re.S)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
MAX_TEXT = 4_000_000
"""Characters; the names of 20,000 classes have a tenth of it."""


def parse_names(text: str) -> tuple[str, ...] | None:
    """Names in class order of `{0: 'cat', 1: 'dog'}` or `['cat', 'dog']`; None where the text is neither."""
    inside = text.strip()
    if len(inside) > MAX_TEXT or inside[:1] + inside[-1:] not in ("{}", "[]", "()"):
        return None
    is_map, inside = inside[0] == "{", inside[1:-1].rstrip().removesuffix(",")
    names: dict[int, str] = {}
    at = 0
    while at < len(inside):
        found = _ENTRY.match(inside, at)
        if found is None or (found["key"] is not None) != is_map:
            return None
        index = int(found["key"].strip("'\"")) if is_map else len(names)
        if index in names:
            return None
        names[index] = _unescaped(found["name"][1:-1])
        at = found.end()
    if not names or sorted(names) != list(range(len(names))):
        return None
    return tuple(names[index] for index in range(len(names)))


def parse_numbers(text: str) -> tuple[int, ...] | None:
    """Whole numbers of `[640, 640]`, `(1,)` or `32`; None where the text is something else."""
    if len(text) > 200 or not re.fullmatch(r"\s*[\[(]?\s*\d{1,9}\s*(?:,\s*\d{1,9}\s*)*,?\s*[\])]?\s*", text):
        return None
    return tuple(map(int, re.findall(r"\d+", text)))


def parse_json(text: str) -> object:
    """The value of a JSON text; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        digits = found["u"] or found["U"] or found["x"]
        if digits is None:
            return _PLAIN.get(found["c"], found["c"])
        return chr(int(digits, 16)) if int(digits, 16) < 0x110000 else ""

    return _ESCAPE.sub(character, text)
