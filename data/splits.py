"""All splits of a data set, read and checked."""

from __future__ import annotations

from data.coco.records import CocoSplit, load_split
from data.config import DatasetConfig


def load_splits(config: DatasetConfig) -> dict[str, CocoSplit]:
    """The splits that a data set has, by name; all have the classes of the training's.

    Raises:
        DataError: see `load_split`.
    """
    settings = config.settings()
    train = load_split(config.source("train"), settings)
    others = [name for name in ("val", "test") if getattr(config, name) is not None]
    return {"train": train} | {name: load_split(config.source(name), settings, like=train) for name in others}
