"""Files and folders that are whole or absent: written under a temporary name, synced, renamed.

Every output of the project goes through here. The one exception are TensorBoard's event files, which grow.

What cannot be written is an `OutputError`: one line with the file's own name, the reason and the remedy. The previous
file is still there then, and the temporary one is not. Only a kill leaves a temporary file behind: `remove_leftovers`
tells it from one in the making by its lock.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from files.faults import OutputError, concerns
from files.locks import is_locked, lock

_TEMPORARY = ".tmp"
LEFTOVER_AGE_S = 24 * 3600
"""Seconds after which a temporary file belongs to no process that still runs, where there are no locks to tell."""
_TEMPORARY_NAME = re.compile(rf"\..*\.[0-9a-f]{{1,12}}{re.escape(_TEMPORARY)}(\..*)?", re.DOTALL)
_MAX_STEM = 40  # bytes of the name that the temporary one repeats: names may be no longer than 255 (on some disks 143)


class AtomicFile:
    """A file in the making: whoever writes it by piece, such as a video, commits or discards it at the end.

    Whoever reads `path`, also after a crash or a kill at any moment, sees the previous file or the new one, whole.

    Attributes:
        path: the file's own name.
        temporary: where to write until then: in the same folder, with the same suffix.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.temporary = _temporary_name(self.path)
        with _reported(self.path, self.temporary):
            self.temporary.touch(exist_ok=False)
        self._lock = lock(self.temporary)

    def commit(self) -> None:
        """Brings the content to the disk and gives it its own name.

        Raises:
            OutputError: it cannot be synced or renamed.
        """
        with _reported(self.path, self.temporary):
            _sync(self.temporary)
            self.temporary.replace(self.path)

    def discard(self) -> None:
        """Removes what is not committed."""
        if self._lock is not None:
            self._lock.release()
        with suppress(OSError):  # the folder is gone or not to be written any more: the first error says so
            self.temporary.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` (same suffix), synced and renamed to it on success, removed on failure.

    Raises:
        OutputError: it cannot be written. Errors of other files, which are read meanwhile, stay what they are.
    """
    file = AtomicFile(path)
    try:
        with _reported(file.path, file.temporary):
            yield file.temporary
        file.commit()
    finally:
        file.discard()


@contextmanager
def atomic_folder(path: Path, is_whole: Callable[[Path], bool]) -> Iterator[Path]:
    """A new folder beside `path`; on success its files are synced and it takes the place of `path`.

    What lies at `path` then is removed, unless it is whole: another process was faster, and its folder stays. On
    failure the new folder is removed.

    Raises:
        OSError: the folder cannot be made or renamed, or what is in it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    work = _temporary_name(path)
    work.mkdir()
    held = lock(work)
    try:
        yield work
        for file in work.rglob("*"):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        if not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
            with _allowed_if(lambda: is_whole(path)):
                work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if held is not None:
            held.release()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file, whole or not at all; see `atomic_path` for its errors."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any, **style: Any) -> None:
    """Writes JSON, whole or not at all; `style` is passed on to `json.dumps`."""
    write_text(path, json.dumps(content, **style))


def make_folder(folder: Path) -> Path:
    """Makes a folder in one that is there, unless it exists; returns it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(folder, error) from None
    return folder


def sync_folder(folder: Path) -> None:
    """Brings a rename inside `folder` to the disk, on systems where folders can be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path, older_than_s: float = 0) -> None:
    """Removes the temporary files that a killed process left in `folder`; those in the making stay.

    Args:
        older_than_s: where there are no locks: seconds since their last change; in a folder that several processes
            share, younger ones may be in the making.
    """
    for entry in folder.glob(f".*{_TEMPORARY}*"):
        if not _TEMPORARY_NAME.fullmatch(entry.name):
            continue
        with suppress(OSError):
            held = is_locked(entry)
            if held or (held is None and time.time() - entry.stat().st_mtime < older_than_s):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


@contextmanager
def _reported(path: Path, temporary: Path) -> Iterator[None]:
    """Turns the system's error about a temporary file into a line about the file that it was to become."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if not concerns(error, temporary):
            raise
        raise OutputError(path, error) from None


@contextmanager
def _allowed_if(holds: Callable[[], bool]) -> Iterator[None]:
    """Lets an OSError pass unless `holds` afterwards."""
    try:
        yield
    except OSError:
        if not holds():
            raise


def _temporary_name(path: Path) -> Path:
    # random, since the process id is the same in two containers that share a folder
    stem = path.stem.encode("ascii", "ignore").decode()[:_MAX_STEM]  # half a letter would be no text
    return path.with_name(f".{stem}.{uuid.uuid4().hex[:12]}{_TEMPORARY}{path.suffix}")


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
