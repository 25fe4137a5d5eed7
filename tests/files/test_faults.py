"""Errors of the file system, as a person reads them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from files.errors import InputError
from files.faults import OutputError, concerns, describe_fault


@pytest.mark.parametrize(
    ("number", "reason", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "make room"),
        (errno.EDQUOT, "quota", "make room"),
        (errno.EFBIG, "larger than is allowed", "ulimit -f"),
        (errno.EROFS, "read-only", "another folder"),
        (errno.EACCES, "permission denied", "permissions"),
        (errno.ENAMETOOLONG, "too long", "shorter"),
        (errno.ENODEV, "no such device", "another folder"),
    ],
)
def test_the_line_has_the_files_own_name_the_reason_and_the_remedy(
    tmp_path: Path, number: int, reason: str, remedy: str
) -> None:
    cause = OSError(number, os.strerror(number), str(tmp_path / ".a.1.tmp.json"))
    error = OutputError(tmp_path / "a.json", cause)
    assert isinstance(error, InputError)
    assert isinstance(error, OSError)
    assert error.errno == number
    line = str(error)
    assert line.startswith(f"{tmp_path / 'a.json'}: cannot be written: ")
    assert reason in line
    assert remedy in line.partition("; ")[2]
    assert "\n" not in line
    assert ".tmp" not in line


def test_a_folder_that_was_removed_meanwhile(tmp_path: Path) -> None:
    cause = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "gone" / ".a.tmp"))
    assert "its folder is not there any more; make it again" in str(OutputError(tmp_path / "gone" / "a", cause))


def test_whose_error_it_is(tmp_path: Path) -> None:
    own, other = tmp_path / "a", tmp_path / "b"
    assert concerns(OSError(errno.ENOSPC, "full"), own)
    assert concerns(OSError(errno.EACCES, "no", str(own)), own)
    assert not concerns(OSError(errno.EACCES, "no", str(other)), own)
    assert not concerns(BrokenPipeError(errno.EPIPE, "Broken pipe"), own)
    assert not concerns(OSError(errno.EBADF, "bad", 3), own)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a"), "/a: the disk is full; make room"),
        (OSError(errno.ENOENT, "No such file or directory", b"/b"), "/b: no such file or directory; check the path"),
        (OSError("words"), "words"),
        (OSError(), "OSError"),
    ],
)
def test_what_nobody_described(error: OSError, line: str) -> None:
    assert describe_fault(error).startswith(line)
