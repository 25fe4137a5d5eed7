"""Formats that a detector is written in. Every module of this folder is imported, and registers itself.

A module's name is that of its format on the command line: `--include onnx` is `onnx.py`.
"""

from __future__ import annotations

import importlib
import pkgutil

from engine.exporting.format import ExportFormat, format_named

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["ExportFormat", "format_named"]
