"""Locks on files and folders that end with their process, however that ends.

They are the system's (`flock`): a kill or a crash leaves none behind, and two containers that share a folder see each
other's. Where there are none (Windows, some network file systems), `is_locked` does not know.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A lock that is held until `release`, or until the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Ends it; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def lock(path: Path) -> Lock | None:
    """Locks a file or folder that is there; None where another one holds it, or there are no locks."""
    return _try(path)[0]


def is_locked(path: Path) -> bool | None:
    """Whether somebody holds the lock of a file or folder; None where there is no telling."""
    held, known = _try(path)
    if held is not None:
        held.release()
        return False
    return True if known else None


def _try(path: Path) -> tuple[Lock | None, bool]:
    """The lock, if it was free, and whether the answer is one."""
    if fcntl is None:
        return None, False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None, False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        return None, isinstance(error, BlockingIOError)
    return Lock(descriptor), True
