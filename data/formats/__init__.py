"""Formats of annotations. Every module in this folder is imported: a new format is one new file."""

from __future__ import annotations

import importlib
import pkgutil

from data.formats.base import SplitConfig, format_of, register_format, split_forms

__all__ = ["SplitConfig", "format_of", "register_format", "split_forms"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
