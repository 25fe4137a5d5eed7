"""All splits of a data set, read and checked."""

from __future__ import annotations

from data.coco.records import CocoSplit, load_split
from data.config import DatasetConfig
from files.paths import exists


def load_splits(config: DatasetConfig) -> dict[str, CocoSplit]:
    """The splits that a data set has, by name; all have the classes of the training's. See `missing_test`.

    Raises:
        DataError: see `load_split`.
    """
    settings = config.settings()
    train = load_split(config.source("train"), settings)
    others = ["val"] if config.test is None or missing_test(config) else ["val", "test"]
    return {"train": train} | {name: load_split(config.source(name), settings, like=train) for name in others}


def missing_test(config: DatasetConfig) -> str:
    """A line about a test split that is named, but not there: Roboflow writes one into every YAML. Else ""."""
    if config.test is None or exists(place := config.source("test").file):
        return ""
    return f"test: {place} is not there; the split is left out"
