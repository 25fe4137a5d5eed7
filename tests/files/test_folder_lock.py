"""The lock on a folder: between processes, between threads, after a kill, and where forked processes live on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from files import folder_lock as module
from files.folder_lock import NAME, FolderInUseError, folder_lock
from tests.places import ROOT

HOLDER = """
import os, sys, time
from pathlib import Path
from files.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    if sys.argv[2] == "forks" and os.fork() == 0:
        time.sleep(60)
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, kind: str = "plain") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(folder), kind]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_another_process_is_named(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        for _ in range(2):  # who asks does not spoil the note
            with pytest.raises(FolderInUseError, match=f"^process {process.pid} on "), folder_lock(tmp_path):
                pass


@pytest.mark.parametrize("kind", ["plain", "forks"])
def test_a_killed_process_holds_nothing(tmp_path: Path, kind: str) -> None:
    with holder(tmp_path, kind) as process:
        process.kill()
        process.wait()
        assert (tmp_path / NAME).exists()
        with folder_lock(tmp_path):
            pass
    assert not (tmp_path / NAME).exists()


def test_one_process_locks_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with folder_lock(tmp_path):
        with pytest.raises(FolderInUseError, match=f"process {os.getpid()} on"), folder_lock(tmp_path / "link"):
            pass
        assert (tmp_path / NAME).read_text().startswith(f"process {os.getpid()} on ")
    for _ in range(2):
        with folder_lock(tmp_path):
            pass
    assert not (tmp_path / NAME).exists()


def test_a_file_that_its_owner_has_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner ends between the opening of its file and the locking: without a second look, two could hold it."""
    lock = module._lock
    removed = []

    def lock_late(descriptor: int) -> None:
        if not removed:
            removed.append((tmp_path / NAME).unlink())
        lock(descriptor)

    monkeypatch.setattr(module, "_lock", lock_late)
    with folder_lock(tmp_path):
        assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_without_locks_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "_lock", unsupported)
    with folder_lock(tmp_path):
        pass
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with ExitStack() as held, pytest.raises(FileNotFoundError):
        held.enter_context(folder_lock(tmp_path / "none"))
    (tmp_path / "none").mkdir()
    with folder_lock(tmp_path / "none"):
        pass
