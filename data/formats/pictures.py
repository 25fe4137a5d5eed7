"""Pictures of a data set that no annotation names: those of a folder, and those that a list names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.coco.names import readings
from data.errors import DataError
from data.media.image import image_suffixes
from files.paths import exists, is_file, is_folder, shown, why_missing

MOST_LIST_BYTES = 1 << 28
"""Of a list of pictures."""


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders within it, sorted; hidden files are none.

    Raises:
        DataError: the folder is not there, or holds no picture.
    """
    if not is_folder(folder):
        raise DataError(f"{folder}: no such folder of images; correct the path in the data-set YAML")
    suffixes = image_suffixes()
    found = sorted(path for path in files_in(folder) if path.suffix.lower() in suffixes)
    if not found:
        raise DataError(f"{folder}: no picture in this folder, nor in those within it; correct the data-set YAML")
    return found


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones, in no order; links to folders are followed, none of them twice.

    Raises:
        DataError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    seen: set[str] = set()
    for place, within, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        within[:] = [] if real in seen else [name for name in within if not name.startswith(".")]
        if real not in seen:
            seen.add(real)
            yield from (Path(place, name) for name in names if not name.startswith("."))


def pictures_of_list(file: Path, root: Path) -> list[Path]:
    """The pictures that a text file names, one a line; relative ones from the list's folder, else from `root`.

    One that is not there is looked for by its end: CVAT writes `data/images/a.jpg` for `images/a.jpg`.

    Raises:
        DataError: it cannot be read, or names none.
    """
    pictures = [_located(line, (file.parent, root)) for line in lines_of(file, "a list of pictures") if line]
    if not pictures:
        raise DataError(f"{file}: the list is empty; write the path of one picture per line")
    return pictures


def lines_of(file: Path, what: str) -> list[str]:
    """The lines of a text file without the space around them.

    Raises:
        DataError: it is not there, too large, or not UTF-8.
    """
    if not exists(file):
        raise DataError(f"{shown(file)}: {why_missing(file, f'file: {what}')}; correct the data-set YAML")
    if not is_file(file):
        raise DataError(f"{file}: not a file but a folder, pipe or device; give {what}")
    try:
        if file.stat().st_size > MOST_LIST_BYTES:
            raise DataError(f"{file}: has {file.stat().st_size} bytes, too many for {what}; check it")
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").split("\n")]
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text in UTF-8; save it as UTF-8") from None


def names_from(folder: Path, pictures: Iterable[Path]) -> list[str]:
    """How records name pictures: relative to `folder` where they lie below it, else by their whole path."""
    return [str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in pictures]


def _located(line: str, folders: tuple[Path, ...]) -> Path:
    """The path of a line, in the first folder that has it; where none has, in the first of all."""
    for name in (line, *readings(line)):
        for folder in folders:
            if is_file(folder / name):
                return folder / name
    return folders[0] / line
