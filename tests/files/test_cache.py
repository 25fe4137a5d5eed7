"""Where caches go."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from files.cache import VARIABLE, cache_folder
from tests.places import ROOT


def test_the_users_cache_folder_and_the_variable_that_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    assert cache_folder() == Path(platformdirs.user_cache_dir("saconv-yolo", appauthor=False))
    assert ROOT not in cache_folder().parents
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert not cache_folder().exists(), "asking makes nothing"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "relative")
    assert cache_folder() == tmp_path / "relative"


def test_the_tests_leave_the_users_folder_alone(session_cache: Path) -> None:
    assert cache_folder() == session_cache
    command = [sys.executable, "-m", "files.cache"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed == f"{session_cache}\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_clean_says_what_it_leaves(session_cache: Path) -> None:
    shown = subprocess.run(["make", "-n", "clean"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "-m files.cache" in shown
    assert str(session_cache) not in shown.split("rm -rf")[1]
