"""Looking at the rows of a file that nobody has checked yet: whatever stands in it, nothing here fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def row_names(content: Mapping[Any, Any]) -> Iterator[tuple[str, int, str]]:
    """Section (`backbone`, `head`), place in it and block name of every row; of what is no row, an empty name."""
    for section in ("backbone", "head"):
        rows = content.get(section)
        for place, row in enumerate(rows if isinstance(rows, list) else []):
            name = row[2] if isinstance(row, list) and len(row) > 2 else ""
            yield section, place, name if isinstance(name, str) else ""


def last_row(content: Mapping[Any, Any]) -> tuple[Any, Any, str, list[Any], dict[Any, Any]] | None:
    """`from`, number, name, arguments and keywords of the last row of `head`; None where it is no row."""
    rows = content.get("head")
    row = rows[-1] if isinstance(rows, list) and rows else None
    if not isinstance(row, list) or len(row) not in (4, 5):
        return None
    source, number, name, args, keywords = row if len(row) == 5 else (*row, {})
    if not isinstance(name, str) or not isinstance(args, list) or not isinstance(keywords, dict):
        return None
    return source, number, name, args, keywords
