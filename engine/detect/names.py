"""Names of what a detection run writes: one of its own for every picture and video, whatever folder it comes from."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from data.media.entries import Entry
from files.names import safe_name


class UniqueNames:
    """Gives every name once: `a`, `a-2`, `a-3`; as on some systems, names that differ only in case are the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, wanted: str) -> str:
        name, number = wanted, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name.casefold())
        return name


def _entry_path(entry: Entry) -> Path:
    """The path part of a file or URL."""
    return Path(urlsplit(entry.label).path if "://" in entry.label else entry.label)


def output_stems(entries: tuple[Entry, ...]) -> list[str]:
    """A different name for every entry: equal stems in different folders, or with different endings, are numbered."""
    unique = UniqueNames()
    wanted = [safe_name(entry.label if entry.kind == "stream" else _entry_path(entry).stem) for entry in entries]
    moving = {i: unique(wanted[i]) for i, entry in enumerate(entries) if entry.kind != "image"}
    reserved = {stem.casefold() for stem in moving.values()}

    def still(stem: str) -> str:
        # Frame 3 of the video `a` has the label file `a_3.txt`; a picture called `a_3` gets another name.
        prefix, _, number = stem.rpartition("_")
        return unique(f"{stem}-2" if number.isdecimal() and prefix.casefold() in reserved else stem)

    return [moving[i] if i in moving else still(stem) for i, stem in enumerate(wanted)]


def file_names(entries: tuple[Entry, ...]) -> list[str]:
    """The file's name of every entry; where two are equal, paths from the folder that all have in common."""
    names = [entry.label if entry.kind == "stream" else _entry_path(entry).name for entry in entries]
    if len(set(names)) == len(names) or any(entry.kind == "stream" or "://" in entry.label for entry in entries):
        return names
    paths = [Path(entry.label).absolute() for entry in entries]
    base = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(base).as_posix() for path in paths]


def numeric_ids(entries: tuple[Entry, ...]) -> list[int] | None:
    """COCO's habit: pictures whose names are numbers have these as ids. None where that is not so for all of them."""
    stems = [_entry_path(entry).stem for entry in entries]
    if not all(entry.kind == "image" and stem.isdecimal() for entry, stem in zip(entries, stems, strict=True)):
        return None
    ids = [int(stem) for stem in stems]
    return ids if len(set(ids)) == len(ids) else None
