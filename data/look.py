"""A look at a data set before training: what the scan of every split found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.coco.records import CocoSplit, load_split
from data.config import DatasetConfig, load_dataset_config


def look(source: str | Path) -> Iterator[str]:
    """The scan's report of every split, a line each.

    Raises:
        DataError: the data set cannot be used.
    """
    config = load_dataset_config(source)
    for name, split in load_splits(config).items():
        for line in split.report.lines():
            yield f"{name}: {line}"


def load_splits(config: DatasetConfig) -> dict[str, CocoSplit]:
    """The splits that a data set has, by name; all have the classes of the training's.

    Raises:
        DataError: see `load_split`.
    """
    settings = config.settings()
    train = load_split(config.source("train"), settings)
    others = [name for name in ("val", "test") if getattr(config, name) is not None]
    return {"train": train} | {name: load_split(config.source(name), settings, like=train) for name in others}
