"""Suggestions for misspelt names: every message of the project gets them from here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_CUTOFF = 0.6  # at 0.5 `labels` would be taken for `images`

_LONGEST = 200  # characters; comparing takes as long as the name squared


def near_names(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The `most` known names that are most like `name`, best first, whatever their case; empty where none is near."""
    if len(name) > _LONGEST:
        return []
    # of names that differ in case only, the first one is suggested
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(each.casefold(), each)
    return [by_folded[near] for near in difflib.get_close_matches(name.casefold(), by_folded, most, _CUTOFF)]


def suggestion(names: Sequence[str]) -> str:
    """`did you mean 'x'?`, with several names `did you mean 'x' or 'y'?`; empty without any."""
    return f"did you mean {' or '.join(map(repr, names))}?" if names else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """`did you mean 'x'?` with the nearest known name, or `otherwise` where none is near."""
    return suggestion(near_names(name, known)) or otherwise
