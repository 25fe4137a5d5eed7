"""Run folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.runs import next_run_dir


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


def test_what_a_killed_run_left_goes_when_its_folder_is_used_again(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="this system has no locks to tell by")
    folder = next_run_dir(tmp_path, "exp")
    stale = folder / ".clip.0123456789ab.tmp.mp4"
    stale.write_text("half")
    (folder / "clip.mp4").write_text("whole")
    assert next_run_dir(tmp_path, "exp", exist_ok=True) == folder
    assert [entry.name for entry in folder.iterdir()] == ["clip.mp4"]
