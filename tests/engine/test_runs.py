"""Run folders and files that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.runs import next_run_dir
from files.atomic import atomic_path


def test_folders_are_numbered(tmp_path: Path) -> None:
    folders = [next_run_dir(tmp_path / "runs", "exp").name for _ in range(3)]
    assert folders == ["exp", "exp2", "exp3"]
    assert next_run_dir(tmp_path / "runs", "exp", exist_ok=True).name == "exp"


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "exp").write_text("")
    with pytest.raises(EngineError, match="is a file, not a folder"):
        next_run_dir(tmp_path, "exp")
    with pytest.raises(EngineError, match="choose another --project"):
        next_run_dir(tmp_path / "exp" / "below", "exp")


def test_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
