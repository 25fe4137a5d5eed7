"""SAConv2d and what serves it alone."""

from __future__ import annotations

from models.blocks.saconv.block import FusedOperands, SAConv2d

__all__ = ["FusedOperands", "SAConv2d"]
