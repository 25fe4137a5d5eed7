"""A look at a data set before training: what the scan of every split found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.coco.records import CocoSplit, load_coco
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
        DataError: see `load_coco`.
    """
    train = load_coco(config.train.annotations, config.train.images, names=config.names)
    splits = {"train": train}
    for name in ("val", "test"):
        part = getattr(config, name)
        if part is not None:
            splits[name] = load_coco(part.annotations, part.images, names=config.names, like=train)
    return splits
