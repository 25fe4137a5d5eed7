"""Detection heads. Every module of this folder is imported, so that a head in a new file registers itself."""

from __future__ import annotations

import importlib
import pkgutil

from models.heads.base import DetectionHead
from models.registry import lookup, names

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def registered_heads() -> list[type[DetectionHead]]:
    """The classes of all heads that a model YAML may name."""
    blocks = (lookup(name).block for name in names())
    return [block for block in blocks if issubclass(block, DetectionHead)]
