"""Blocks, heads and losses, and the detector that a model YAML makes of them."""

from __future__ import annotations

from models.blocks.conv import Conv
from models.blocks.saconv import SAConv2d
from models.blocks.spconv import SPConv
from models.detector import Detector, build_model
from models.errors import ConfigError

__all__ = ["ConfigError", "Conv", "Detector", "SAConv2d", "SPConv", "build_model"]
