"""Back ends that run a network for detection; every module of this folder is imported, and registers itself."""

from __future__ import annotations

import importlib
import pkgutil

from engine.backends.base import Backend, open_backend, register_backend, require_precision

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Backend", "open_backend", "register_backend", "require_precision"]
