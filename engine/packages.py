"""Optional packages: imported where they are needed; a missing one is a line that names pip's command."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from engine.errors import EngineError


def require_package(module: str, requirement: str, what: str) -> None:
    """Checks, without importing it, that a package is there.

    Args:
        module: its top-level module.
        requirement: what pip installs.
        what: file or flag that needs it.

    Raises:
        EngineError: it is not.
    """
    if importlib.util.find_spec(module) is None:
        raise _missing(requirement, what)


def import_package(module: str, requirement: str, what: str) -> Any:
    """The module of an optional package; see `require_package`.

    Raises:
        EngineError: it is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise _missing(requirement, what) from None


def _missing(requirement: str, what: str) -> EngineError:
    return EngineError(f'{what}: needs a package that is not installed; run: pip install "{requirement}"')
