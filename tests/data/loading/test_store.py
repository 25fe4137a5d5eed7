"""The file of `--cache disk` under faults: full disks, kills, several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.errors import DataError
from data.loading.store import ImageStore
from files.cache import VARIABLE
from tests.places import ROOT, SMALL_DISK

SHAPES = [(4, 6)] * 3
SLOW = """
import sys, time
from data.loading.store import ImageStore
print("begins", flush=True)
ImageStore.on_disk([(4, 6)] * 3, lambda index: time.sleep(600), sys.argv[1])
"""


def read(index: int) -> np.ndarray:
    return np.full((4, 6, 3), index, np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path / "images"


def begun(folder: Path, key: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that writes the file for ever, and its temporary file."""
    command = [sys.executable, "-c", SLOW, key]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    while not (found := list(folder.glob(f".{key}.*.tmp.bin"))):
        assert process.poll() is None
    return process, found[0]


def test_what_a_kill_left_goes_at_once_and_what_is_being_written_stays(folder: Path) -> None:
    pytest.importorskip("fcntl", reason="this system has no locks to tell by")
    killed, stale = begun(folder, "a")
    alive, live = begun(folder, "b")
    try:
        assert stale.exists(), "the second one let the first one live"
        killed.kill()
        killed.wait()
        assert stale.exists()
        store = ImageStore.on_disk(SHAPES, read, "a")
        assert (store[2] == 2).all()
        assert not stale.exists()
        assert live.exists()
    finally:
        alive.kill()
        alive.wait()
    ImageStore.on_disk(SHAPES, read, "a")
    assert [entry.name for entry in folder.iterdir()] == ["a.bin"], "also where nothing has to be written"


def test_a_disk_that_fills_up_is_noticed_before_the_file_is_mapped(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(small_disk))
    # Another process took the room since it was asked for: writing into a mapped file would end this one by SIGBUS.
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    shape = (SMALL_DISK // 1000, 1000)
    with pytest.raises(DataError, match=r"images: cannot write the image cache: No space left on device; use 'ram'"):
        ImageStore.on_disk([shape], lambda _: np.zeros((*shape, 3), np.uint8), "a")
    assert list((small_disk / "images").iterdir()) == []


def test_a_file_system_that_cannot_reserve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    store = ImageStore.on_disk(SHAPES, read, "a")
    assert [store[index].max() for index in range(3)] == [0, 1, 2]
