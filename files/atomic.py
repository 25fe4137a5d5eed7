"""Files that are whole or absent: written under a temporary name, synced, renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = ".tmp"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` (same suffix), synced and renamed to it on success, removed on failure.

    Whoever reads `path`, also after a crash or a kill at any moment, sees the previous file or the new one, whole.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{_TEMPORARY}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Brings a rename inside `folder` to the disk, on systems where folders can be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of `atomic_path` that a killed process left in `folder`."""
    for entry in folder.glob(f".*.*{_TEMPORARY}*"):
        entry.unlink(missing_ok=True)
