"""Patterns of paths, where names that are there come first: in `run[1]/*.png`, the folder is meant."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from files.paths import exists, is_folder, why_missing


def is_pattern(text: str) -> bool:
    """Whether a text holds one of `*`, `?`, `[`."""
    return glob.has_magic(text)


def matches(pattern: Path) -> Iterator[Path]:
    """What a pattern matches, each thing once; `**` stands for a folder and all below it, linked ones once."""
    seen: set[Path] = set()
    for path in _expand(*_split(pattern)):
        if path not in seen:
            seen.add(path)
            yield path


def why_nothing(pattern: Path) -> str:
    """Why a pattern cannot match: the folder before its first special character is missing or closed; "" else."""
    base, parts = _split(pattern)
    while parts and (exists(base / parts[0]) or not is_pattern(parts[0])):
        base, parts = base / parts[0], parts[1:]
        if not exists(base):
            return f"{base}: {why_missing(base)}"
    try:
        os.listdir(base)  # noqa: PTH208
    except OSError as error:
        return f"{base}: cannot be listed, {error.strerror}"
    return ""


def _split(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    return (Path(pattern.anchor), pattern.parts[1:]) if pattern.anchor else (Path(), pattern.parts)


def _expand(base: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        for folder in _folders(base):
            yield from _expand(folder, rest) if rest else (folder / name for name in _names(folder))
    elif exists(base / part):
        yield from _expand(base / part, rest)
    elif is_pattern(part):
        for name in _matching(base, part):
            yield from _expand(base / name, rest)


def _folders(base: Path) -> Iterator[Path]:
    """A folder and those below it, hidden ones left out; one that several links lead to, or a loop of them, once."""
    seen: set[tuple[int, int]] = set()
    waiting = [base]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
        except (OSError, ValueError):
            continue
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield folder
            waiting += [folder / name for name in reversed(_names(folder)) if is_folder(folder / name)]


def _matching(folder: Path, part: str) -> list[str]:
    """Names in a folder that a pattern without `/` matches; where none does, `[` may stand for itself."""
    names = _names(folder, hidden=part.startswith("."))
    return fnmatch.filter(names, part) or fnmatch.filter(names, part.replace("[", "[[]"))


def _names(folder: Path, *, hidden: bool = False) -> list[str]:
    """What lies in a folder, sorted; nothing where it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if hidden or not name.startswith("."))  # noqa: PTH208
    except OSError:
        return []
