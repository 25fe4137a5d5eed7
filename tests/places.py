"""Where the tests find things: the project, and what may lie beside it (tests that need it skip where it is absent)."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDEN = SHARED / "golden"
BCCD = SHARED / "datasets" / "bccd"
