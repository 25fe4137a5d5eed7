"""A split of a data set that a test writes as a YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.coco.split import CocoSplit
from data.config import load_dataset_config
from data.splits import load_split


def load_written(root: Path, yaml: str, split: str = "train", **options: Any) -> CocoSplit:
    """Writes `data.yaml` into `root` and loads a split of it, without the cache unless `options` say otherwise."""
    file = root / "data.yaml"
    file.write_text(yaml)
    config = load_dataset_config(file)
    return load_split(config.source(split), config.settings(), **{"cache": False, **options})
