"""Every block that a model YAML may name, one subject per file; the folder is imported whole, so that all register."""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
