"""A lock on a folder, so that one process at a time writes into it.

The lock is the system's own, on the file `.lock` in the folder. It ends with its process, however that ends: a file
that a killed process leaves behind locks nothing. Two things set it apart from `files.locks`: the file says who holds
it, and forked processes, such as a loader's, do not inherit it. They may outlive the process that holds it.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = ".lock"

_NOTE_BYTES = 200
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}

_held: set[Path] = set()  # by this process, for which the system's lock would be no obstacle
_held_guard = threading.Lock()


class FolderInUseError(Exception):
    """Another process, or another thread of this one, holds the lock. The text says who."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds the lock on a folder. Where the file system has no locks, nothing is held.

    Raises:
        FolderInUseError: somebody else holds it.
        OSError: the file cannot be made.
    """
    file = folder.resolve() / NAME
    with _held_guard:
        if file in _held:
            raise FolderInUseError(_note_of_this_process())
        _held.add(file)
    try:
        descriptor = _acquire(file)
        try:
            yield
        finally:
            # Removed while it is still locked: who opened it before finds that it is gone, and begins anew.
            with suppress(OSError):
                file.unlink()
            os.close(descriptor)
    finally:
        with _held_guard:
            _held.discard(file)


def _acquire(file: Path) -> int:
    """The descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                _lock(descriptor)
            except OSError as error:
                if error.errno in _UNSUPPORTED:
                    return descriptor
                if error.errno in _BUSY:
                    raise FolderInUseError(_note(descriptor)) from None
                raise
            if _is_at(descriptor, file):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _note_of_this_process().encode(errors="replace")[:_NOTE_BYTES])
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has removed it meanwhile


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _note_of_this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _note(descriptor: int) -> str:
    """What the holder wrote; another process where it is not there yet."""
    with suppress(OSError):
        text = os.read(descriptor, _NOTE_BYTES).decode(errors="replace")
        if text.startswith("process ") and text.isprintable():
            return text
    return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte beyond the note, which others may then read.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # POSIX's kind: forked processes do not inherit it.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
