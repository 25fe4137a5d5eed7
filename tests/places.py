"""Where the tests find things: the project, and what may lie beside it (tests that need it skip where it is absent)."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDEN = SHARED / "golden"
BLOCKS = ROOT / "tests" / "golden"
"""Golden numbers of the blocks, which the project brings along."""
BCCD = SHARED / "datasets" / "bccd"
SMALL_DISK = 1 << 20
"""Bytes on the disk of the fixture `small_disk`."""
