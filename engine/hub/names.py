"""Which architectures there are; without importing torch."""

from __future__ import annotations

from models.config.reader import config_names


def architectures() -> list[str]:
    """Every name that `--cfg` knows: those of `configs/models/`, a family by its sizes."""
    return config_names()
