"""Where a run writes: `project/name`, `project/name2`, ... and files that are whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import EngineError

_TEMPORARY = ".tmp"


def next_run_dir(project: str | Path, name: str, exist_ok: bool = False) -> Path:
    """Creates and returns `project/name`, or with the first free number appended when that exists.

    Args:
        exist_ok: use `project/name` even when it exists.

    Raises:
        EngineError: the folder cannot be made or written.
    """
    base = Path(project) / name
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{base.name}{number}")
        try:
            # mkdir is atomic: of two runs that start together, one gets the folder and the other the next number.
            folder.mkdir(parents=True, exist_ok=exist_ok)
        except FileExistsError:
            if exist_ok or not folder.is_dir():
                raise EngineError(f"{folder}: is a file, not a folder; choose another --project or --name") from None
            number += 1
            continue
        except OSError as error:
            raise EngineError(f"{folder}: cannot be created ({error.strerror}); choose another --project") from None
        if not os.access(folder, os.W_OK):
            raise EngineError(f"{folder}: cannot be written; choose another --project or change its permissions")
        return folder


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
