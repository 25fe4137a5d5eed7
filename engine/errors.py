"""The error that `engine` raises for options and files that a run cannot use."""

from __future__ import annotations

from files.errors import InputError


class EngineError(InputError):
    """A run cannot use what it was given. One line: the file or flag, and the remedy."""
