"""Where the project's own files lie."""

from __future__ import annotations

from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
"""Model YAMLs, data sets and recipes that a bare name is looked up in."""
