"""Run folders."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.runs import next_run_dir, reserve_run_dir


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


@pytest.mark.parametrize(
    ("project", "name", "line"),
    [
        ("file", "exp", "file: is a file, not a folder; choose another --project or --name"),
        ("file/below", "exp", "file: is a file, not a folder; choose another --project or --name"),
        ("runs", "n" * 300, ": cannot be created (File name too long); choose a shorter --name"),
    ],
)
def test_what_cannot_be_made_is_known_before_the_work_begins(
    tmp_path: Path, project: str, name: str, line: str
) -> None:
    (tmp_path / "file").write_text("")
    with ExitStack() as held:
        with pytest.raises(EngineError) as caught:
            reserve_run_dir(tmp_path / project, name, False, held)
        assert str(caught.value).endswith(line)
        make = reserve_run_dir(tmp_path / "runs" / "new", "exp", False, held)
        assert not (tmp_path / "runs").exists()
        assert make() == tmp_path / "runs" / "new" / "exp"
