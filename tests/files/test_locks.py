"""Locks that end with their process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from files import locks
from files.locks import is_locked, lock
from tests.places import ROOT

pytest.importorskip("fcntl", reason="this system has no such locks")
HOLD = "import sys; from pathlib import Path; from files.locks import lock; held = lock(Path(sys.argv[1])); "
HOLD += "print(held is not None, flush=True); sys.stdin.read()"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_holds_it_until_it_lets_go(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    path.touch() if kind == "file" else path.mkdir()
    assert is_locked(path) is False
    held = lock(path)
    assert held is not None
    assert is_locked(path) is True
    assert lock(path) is None
    held.release()
    held.release()
    assert is_locked(path) is False
    again = lock(path)
    assert again is not None
    again.release()


def test_a_kill_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert is_locked(path) is True
        other.kill()
        other.wait()
        assert is_locked(path) is False


def test_where_there_are_no_locks_there_is_no_telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_locked(tmp_path / "absent") is None
    monkeypatch.setattr(locks, "fcntl", None)
    assert is_locked(tmp_path) is None
    assert lock(tmp_path) is None
