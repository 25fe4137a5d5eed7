"""A look at a data set before training: what the scan of every split found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.config import load_dataset_config
from data.splits import load_splits


def look(source: str | Path) -> Iterator[str]:
    """The scan's report of every split, a line each.

    Raises:
        DataError: the data set cannot be used.
    """
    config = load_dataset_config(source)
    for name, split in load_splits(config).items():
        for line in split.report.lines():
            yield f"{name}: {line}"
