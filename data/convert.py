"""A data set's annotations in another format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError


def convert(source: str | Path, to: str, out: str | Path | None = None, *, copy: bool = False) -> Iterator[str]:
    """Writes a data set in another format; what it did, a line each.

    Raises:
        DataError: it cannot be converted yet.
    """
    raise DataError(f"{source}: conversion to {to} is not there yet")
