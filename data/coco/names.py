"""Names of image files in annotations, against the folder in which these lie."""

from __future__ import annotations

from dataclasses import replace
from os.path import normpath
from pathlib import Path

from data.coco.tables import CocoTables
from data.errors import DataError
from files.paths import is_file


def located(tables: CocoTables, folder: Path, file: Path) -> CocoTables:
    """The same where names written on Windows, `train\\a.jpg`, are those of the files: `train/a.jpg`.

    A name stays as it is where there is such a file, or none of either.

    Args:
        folder: what the names are relative to.
        file: the annotation file, for messages.

    Raises:
        DataError: two images turn out to be one file.
    """
    names = [_located(name, folder) for name in tables.file_names]
    if names == tables.file_names:
        return tables
    seen: dict[str, int] = {}
    for index, name in enumerate(map(normpath, names)):
        if (first := seen.setdefault(name, index)) != index:
            raise DataError(
                f"{file}: images: the ids {tables.image_ids[first]} and {tables.image_ids[index]} have the same file, "
                f"{name!r}; give each picture one entry, and its boxes the id of that entry"
            )
    return replace(tables, file_names=names)


def _located(name: str, folder: Path) -> str:
    if "\\" not in name or is_file(folder / name):
        return name
    slashed = name.replace("\\", "/")
    return slashed if is_file(folder / slashed) else name
