"""Files and folders that are whole or absent."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from files import locks
from files.atomic import (
    AtomicFile,
    atomic_folder,
    atomic_path,
    remove_leftovers,
    sync_folder,
    write_bytes,
    write_json,
    write_text,
)
from files.faults import OutputError
from tests.places import ROOT, SMALL_DISK

WRITERS = {"write_text", "write_bytes", "savefig", "imwrite", "imsave", "save", "dump", "VideoWriter", "memmap", "open"}
WRITERS |= {"NamedTemporaryFile", "mkstemp", "mkdtemp"}


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


def test_content_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(f"sync, {path.exists()}"))
    write_bytes(path, b"content")
    assert calls == ["sync, False"]
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize("name", ["a.json", "ö" * 120 + ".json", "no-suffix"])
def test_short_ways_to_write(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_text(path, "größer\n")
    assert path.read_text(encoding="utf-8") == "größer\n"
    write_json(path, {"a": [1, 2]}, separators=(",", ":"))
    assert path.read_text() == '{"a":[1,2]}'
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1, 2]}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_written_by_piece(tmp_path: Path) -> None:
    first, second = AtomicFile(tmp_path / "a.mp4"), AtomicFile(tmp_path / "a.mp4")
    assert first.temporary != second.temporary
    assert {first.temporary.suffix, second.temporary.suffix} == {".mp4"}
    for file, text in ((first, "one"), (second, "two")):
        file.temporary.write_text(text)
    first.commit()
    first.discard()
    second.discard()
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.mp4", "one")]
    with pytest.raises(OutputError, match=r"a\.mp4: cannot be written: no such file"):
        second.commit()


def has_two_files(folder: Path) -> bool:
    return len(list(folder.glob("*.txt"))) == 2


def fill(folder: Path, text: str) -> None:
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(text)


def test_a_folder_takes_the_place_of_what_is_not_whole(tmp_path: Path) -> None:
    target = tmp_path / "below" / "set"
    with atomic_folder(target, has_two_files) as work:
        fill(work, "first")
        assert not target.exists()
    assert (target / "b.txt").read_text() == "first"
    (target / "b.txt").unlink()
    with atomic_folder(target, has_two_files) as work:
        fill(work, "second")
    assert (target / "b.txt").read_text() == "second"
    assert [entry.name for entry in target.parent.iterdir()] == ["set"]


def test_a_whole_folder_of_a_faster_process_stays(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with atomic_folder(target, has_two_files) as work:
        fill(work, "slow")
        target.mkdir()
        fill(target, "fast")
    assert (target / "a.txt").read_text() == "fast"
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_folder(tmp_path / "set", has_two_files) as work:
            fill(work, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_process(tmp_path: Path) -> None:
    file, folder = tmp_path / ".a.0123456789ab.tmp.pt", tmp_path / ".set.0123456789ab.tmp"
    file.write_text("")
    folder.mkdir()
    (folder / "x").write_text("")
    kept = [tmp_path / name for name in ("a.pt", ".hidden", "x.tmp", ".of.somebody.tmp.pt", ".a.0123456789ab.pt")]
    for each in kept:
        each.write_text("")
    with atomic_path(tmp_path / "b.pt") as alive, atomic_folder(tmp_path / "c", Path.is_dir) as work:
        remove_leftovers(tmp_path, older_than_s=60)
        assert sorted(tmp_path.iterdir()) == sorted([*kept, alive, work])
        alive.unlink()
        with alive.open("w"):  # as whoever writes it may do
            pass
    sync_folder(tmp_path)


def test_leftovers_where_there_are_no_locks_go_by_their_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    file = tmp_path / ".a.0123456789ab.tmp.pt"
    file.write_text("")
    remove_leftovers(tmp_path, older_than_s=60)
    assert file.exists()
    remove_leftovers(tmp_path)
    assert not file.exists()


def test_a_full_disk_leaves_the_previous_file_and_no_temporary_one(small_disk: Path) -> None:
    path = small_disk / "a.txt"
    write_text(path, "old")
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written: the disk is full; make room"):
        write_bytes(path, bytes(2 * SMALL_DISK))
    assert [entry.name for entry in small_disk.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
    write_text(path, "new")


def test_a_file_larger_than_is_allowed(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no such limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.txt: cannot be written: the file would be larger than is allowed"):
            write_bytes(tmp_path / "a.txt", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def write() -> None:
        with atomic_path(folder / "a.txt") as temporary:
            temporary.unlink()
            folder.rmdir()
            temporary.write_text("")

    for _ in ("while it is written", "before"):
        with pytest.raises(OutputError, match=r"a\.txt: cannot be written: its folder is not there any more"):
            write()


def test_errors_of_what_is_read_meanwhile_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes((tmp_path / "absent").read_bytes())
    assert list(tmp_path.iterdir()) == []


def writing_calls(file: Path) -> Iterator[str]:
    """Calls in a file that write, or may."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
            reads = node.func.attr in {"open", "memmap"} and not {"'w'", "'w+'", "'wb'", "'a'"} & {
                ast.unparse(each) for each in (*node.args, *(keyword.value for keyword in node.keywords))
            }
            if not reads:
                yield ast.unparse(node)


def test_every_output_is_written_under_a_temporary_name() -> None:
    """Whoever writes past `files.atomic` is noticed here: what is written is a path of that name, or memory."""
    found = 0
    for package in ("models", "data", "engine", "benchmarks"):
        for file in (ROOT / package).rglob("*.py"):
            if file == ROOT / "data" / "demo.py":  # draws into the folder that `atomic_folder` gives it
                continue
            for call in writing_calls(file):
                assert any(word in call for word in ("temporary", "in_memory")), f"{file}: {call}"
                found += 1
    assert found >= 5
