"""What a text names on this machine, and why there is nothing: no question raises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from files.paths import exists, expanded, find, is_file, is_folder, shown, unquoted, why_missing


def test_an_unknown_user_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    for name in ("~nobody-of-that-name/a", "~\0"):
        assert expanded(name) == Path(name)


def test_what_a_text_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("a b", "home/h", "deep/er", "back\\slash", " blank ", "~tilde"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    readings = {"a b": "a b", "  a b ": "a b", '"a b"': "a b", "'a b'": "a b", "~/h": str(tmp_path / "home/h")}
    readings |= {"deep\\er": "deep/er", "back\\slash": "back\\slash", " blank ": " blank ", "~tilde": "~tilde"}
    for text, path in readings.items():
        assert find(text) == Path(path), text
    assert find("er", tmp_path / "deep", None) == tmp_path / "deep/er"
    for text in ("", " ", "''", "nothing", "x" * 5000, "a\0b"):
        assert find(text) is None


def test_why_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    for name, why in {
        "nothing": "no such file or folder",
        "file/below": "no such file or folder",
        "dangling": "a link to a file that is not there",
        "loop": "a link that leads to itself",
        "x" * 300: "longer than this system takes",
        "zero\0": "zero character",
        "folder\\file": "nor with / for its backslashes",
    }.items():
        assert why in why_missing(tmp_path / name)
        assert not exists(tmp_path / name)
    assert "a path of Windows" in why_missing("C:\\data\\a.jpg")
    assert "no such user" in why_missing("~nobody-of-that-name/a")
    assert "no such user" not in why_missing("~/a-file-that-nobody-has")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_kinds_of_things(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for name, kinds in {"pipe": (True, False, False), "file": (True, True, False), ".": (True, False, True)}.items():
        assert (exists(tmp_path / name), is_file(tmp_path / name), is_folder(tmp_path / name)) == kinds


def test_names_in_messages() -> None:
    assert shown("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\xff"
    assert shown("a\u00a0b") == "a\u00a0b", "a blank is no control character"
    assert shown("x" * 160) == "x" * 160
    assert len(shown("x" * 5000)) < 170
    assert unquoted(" 'a' ") == "a"
    assert unquoted("'") == "'"
