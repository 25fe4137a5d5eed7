"""What a text that somebody wrote names on this machine, and why there is nothing; no question here ever raises."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from files.printable import printable

_SHOWN = 160  # characters of a name that messages repeat
_DRIVE = re.compile(r"(^|/)[A-Za-z]:\\|^[A-Za-z]:/")
_QUOTES = ("'", '"')
_REASONS = {
    errno.ENAMETOOLONG: "the name is longer than this system takes; shorten it",
    errno.EACCES: "may not be looked at (Permission denied); check the permissions of its folders",
    errno.ELOOP: "a link that leads to itself; mend the link",
}


def expanded(name: str | os.PathLike[str]) -> Path:
    """The path with `~` as the home folder; as it is where there is no such user."""
    try:
        return Path(name).expanduser()
    except (RuntimeError, ValueError):  # no such user, or no name of one
        return Path(name)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether something is there; False for names that no system takes, and for what may not be looked at."""
    return _mode(path) is not None


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether an ordinary file is there: no folder, pipe, device or socket."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is there."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def find(text: str, *folders: Path | None) -> Path | None:
    """The first thing that is there among what a text may mean, seen from each folder in turn.

    A text means itself; then itself without blanks or quotes around it; with `~` as the home folder; and with the
    backslashes of Windows as `/`.

    Args:
        folders: where relative paths begin, None for the working folder.
    """
    for reading in _readings(text):
        for folder in folders or (None,):
            path = Path(reading) if folder is None else folder / reading
            if exists(path):
                return path
    return None


def unquoted(text: str) -> str:
    """A text without blanks and one pair of quotes around it."""
    bare = text.strip()
    return bare[1:-1].strip() if len(bare) > 2 and bare[0] == bare[-1] and bare[0] in _QUOTES else bare


def why_missing(path: str | os.PathLike[str], what: str = "file or folder") -> str:
    """Why there is nothing at a path, and what to do about it: `no such file or folder`, `...; check ...`.

    Args:
        what: should be there.
    """
    try:
        os.stat(path)  # noqa: PTH116 (it may be no path at all)
    except ValueError:
        return "the name holds a zero character, so it is no path; write it as plain text"
    except OSError as error:
        if error.errno == errno.ENOENT and os.path.islink(path):  # noqa: PTH114
            return "a link to a file that is not there"
        if error.errno in _REASONS:
            return _REASONS[error.errno]
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return f"cannot be looked at ({error.strerror}); check the disk"
    return f"no such {what}{_hint(str(path))}"


def _hint(text: str) -> str:
    """What may be wrong with a path to nothing, "" where nothing looks wrong."""
    if os.sep == "/" and _DRIVE.search(text):
        return "; it is a path of Windows: write where the file is on this machine"
    if os.sep == "/" and "\\" in text:
        return ", nor with / for its backslashes; write / between folders"
    return (
        ", and no such user; write the home folder out" if text.startswith("~") and expanded(text) == Path(text) else ""
    )


def shown(name: str | os.PathLike[str]) -> str:
    """A name for messages: its beginning and end where it is very long, control characters escaped."""
    text = printable(str(name))
    half = _SHOWN // 2
    return text if len(text) <= _SHOWN else f"{text[:half]}...{text[-half:]}"


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return None


def _readings(text: str) -> Iterator[str]:
    for reading in (text, text.strip(), unquoted(text)):
        if reading.strip():  # the empty path would be the working folder
            yield reading
            yield str(expanded(reading))
            if "\\" in reading:
                yield reading.replace("\\", "/")
