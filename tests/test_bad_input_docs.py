"""docs/bad-input.md says what the code says: every line of its tables is made of texts that stand in the sources.

A text of the sources is known by its fixed parts, in their order; what is filled in may be anything. The page may write
it as `FILE` or give an example. Where a message changes and the page doesn't, its line is no longer covered.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.places import ROOT

PAGE = ROOT / "docs" / "bad-input.md"
PACKAGES = ("files", "models", "data", "engine")
LEAST_PART = 8  # letters of a text's longest fixed part, and
LEAST_SHARE = 0.6  # of a line's letters: what is covered
SHORT = 25  # letters of a line that is an example of a notation, not a message


def documented() -> list[str]:
    """The lines in the third columns of the tables."""
    rows = re.findall(r"^\|((?:[^|\n]|\\\|)+)\|((?:[^|\n]|\\\|)+)\|((?:[^|\n]|\\\|)+)\|$", PAGE.read_text(), re.M)
    cells = [cell.strip() for _, _, cell in rows]
    return [line for cell in cells for pair in re.findall(r"``(.+?)``|`(.+?)`", cell) for line in pair if line]


FILLED = re.compile(
    r"^error: |^warning: |^argument |--[\w/-]+|\b[A-Z]+\b|'[^']*'|\[[^\]]*\]|\b\d[\d,.]*\b|, line \d+|, row \d+ \(\w+\)"
)
"""What is filled in: placeholders, and examples of names, lists, numbers and places."""

LINES = [line for line in documented() if len(line) >= SHORT]


def fixed_parts(node: ast.expr) -> Iterator[str]:
    """The fixed parts of a text, `%s` and `{name}` taken out, spaces made one."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            for piece in re.split(r"%[sdrgf]|\{\w*\}", part.value):
                yield " ".join(piece.split()) if piece.strip() else ""


@cache
def texts() -> tuple[tuple[str, ...], ...]:
    """The fixed parts of every text of the sources that is long enough to mean something."""
    found = set()
    packages = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    for file in (*packages, ROOT / "hubconf.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                parts = tuple(part for part in fixed_parts(node) if part)
                if max(map(len, parts), default=0) >= LEAST_PART:
                    found.add(parts)
    return tuple(found)


def covered_share(line: str) -> float:
    """How much of a line's letters are fixed parts of texts that lie in it whole, or stand for what is filled in."""
    plain = " ".join(line.split())
    covered = [False] * len(plain)
    for match in FILLED.finditer(plain):
        covered[match.start() : match.end()] = [True] * len(match[0])
    for parts in texts():
        if max(parts, key=len) not in plain:
            continue
        if match := re.search(".*?".join(f"({re.escape(part)})" for part in parts), plain):
            for group in range(1, len(parts) + 1):
                covered[match.start(group) : match.end(group)] = [True] * len(parts[group - 1])
    return sum(covered) / len(covered)


def test_there_are_lines() -> None:
    assert len(LINES) > 50


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_made_of_texts_of_the_sources(line: str) -> None:
    share = covered_share(line)
    assert share >= LEAST_SHARE, f"{share:.0%} of it stands in the sources; has the message changed?"


@pytest.mark.parametrize(
    "line",
    [
        "FILE: no such file or directory; see --source",
        "FILE: cannot be written: the disc has no room left; delete something",
        "FILE: its training is over (N of M epochs); begin another one with the flag --weights FILE",
    ],
)
def test_other_words_are_found(line: str) -> None:
    assert covered_share(line) < LEAST_SHARE
