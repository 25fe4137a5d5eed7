"""Blocks, heads and losses, and the detector that a model YAML makes of them.

The names below are imported when they are first used: importing a part of `models` alone must not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from files.lazy import lazy_names

if TYPE_CHECKING:
    from models.blocks.conv import Conv
    from models.blocks.saconv import SAConv2d
    from models.blocks.spconv import SPConv
    from models.detector import Detector, build_model
    from models.errors import ConfigError

__all__ = ["ConfigError", "Conv", "Detector", "SAConv2d", "SPConv", "build_model"]

if not TYPE_CHECKING:  # a type checker must not take any name for granted
    __getattr__ = lazy_names(
        __name__,
        {
            "ConfigError": "models.errors",
            "Conv": "models.blocks.conv",
            "Detector": "models.detector",
            "SAConv2d": "models.blocks.saconv",
            "SPConv": "models.blocks.spconv",
            "build_model": "models.detector",
        },
    )
