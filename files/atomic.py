"""Files and folders that are whole or absent: written under a temporary name, synced, renamed.

Every output of the project goes through here. The one exception are TensorBoard's event files, which grow.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_TEMPORARY = ".tmp"
LEFTOVER_AGE_S = 24 * 3600
"""Seconds after which a temporary file in a folder that processes share belongs to none that still runs."""
_MAX_STEM = 40  # characters of the name that the temporary one repeats: names may be no longer than 255 bytes


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

    def commit(self) -> None:
        """Brings the content to the disk and gives it its own name.

        Raises:
            OSError: it cannot be synced or renamed, or was never written.
        """
        _sync(self.temporary)
        self.temporary.replace(self.path)

    def discard(self) -> None:
        """Removes what is not committed."""
        self.temporary.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` (same suffix), synced and renamed to it on success, removed on failure."""
    file = AtomicFile(path)
    try:
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
        OSError: the folder cannot be made or renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    work = _temporary_name(path)
    work.mkdir()
    try:
        yield work
        for file in work.rglob("*"):
            if file.is_file():
                _sync(file)
        if not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
            with _allowed_if(lambda: is_whole(path)):
                work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any, **style: Any) -> None:
    """Writes JSON, whole or not at all; `style` is passed on to `json.dumps`."""
    write_text(path, json.dumps(content, **style))


def sync_folder(folder: Path) -> None:
    """Brings a rename inside `folder` to the disk, on systems where folders can be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path, older_than_s: float = 0) -> None:
    """Removes the temporary files that a killed process left in `folder`.

    Args:
        older_than_s: seconds since their last change; in a folder that several processes share, younger ones may be
            in the making.
    """
    for entry in folder.glob(f".*.*{_TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - entry.stat().st_mtime < older_than_s:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


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
    return path.with_name(f".{path.stem[:_MAX_STEM]}.{uuid.uuid4().hex[:12]}{_TEMPORARY}{path.suffix}")


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
