"""Blocks, heads and losses, and the detector that a model YAML makes of them.

The names below are imported when they are first used: importing a part of `models` alone must not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.blocks.conv import Conv
    from models.blocks.saconv import SAConv2d
    from models.blocks.spconv import SPConv
    from models.detector import Detector, build_model
    from models.errors import ConfigError

__all__ = ["ConfigError", "Conv", "Detector", "SAConv2d", "SPConv", "build_model"]

_HOMES = {
    "ConfigError": "models.errors",
    "Conv": "models.blocks.conv",
    "Detector": "models.detector",
    "SAConv2d": "models.blocks.saconv",
    "SPConv": "models.blocks.spconv",
    "build_model": "models.detector",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
