"""Names of image files in annotations, against the folder in which these lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from os.path import normpath
from pathlib import Path
from urllib.parse import parse_qs, unquote

from data.coco.tables import CocoTables
from data.errors import DataError
from files.paths import is_file
from files.words import count

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that is uploaded."""
_LOCAL_FILES = "/data/local-files/"
"""Label Studio's address of files that were not uploaded; their path is the parameter `d`."""


def located(tables: CocoTables, folder: Path, file: Path) -> CocoTables:
    """The same with the names that files really have in the folder, where the annotations' are those of elsewhere.

    A name stays as it is where there is such a file. Else it is the first of these that there is: the name with the
    backslashes of Windows as `/`; the longest end of it, `a/b.jpg` or `b.jpg` of `../x/a/b.jpg` or of
    `http://host/x/a/b.jpg`; that without what Label Studio puts before it.

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
    return replace(tables, file_names=names, notes=(*tables.notes, *_note(tables.file_names, names)))


def _note(stated: list[str], found: list[str]) -> Iterator[str]:
    """A sentence about the names of which only the end is right."""
    elsewhere = [(old, new) for old, new in zip(stated, found, strict=True) if old.replace("\\", "/") != new]
    if elsewhere:
        old, new = elsewhere[0]
        images = count(len(elsewhere), "image is", "images are")
        yield f"{images} found by the end of the name, such as {new!r} for {old!r}"


def _located(name: str, folder: Path) -> str:
    if is_file(folder / name):
        return name
    return next((other for other in readings(name) if is_file(folder / other)), name)


def readings(name: str) -> Iterator[str]:
    """What the name of a file may mean that was written elsewhere, likeliest first."""
    slashed = name.replace("\\", "/")
    yield slashed
    path = slashed
    if _URL.match(path) or path.startswith(_LOCAL_FILES):
        address, _, query = path.partition("#")[0].partition("?")
        path = parse_qs(query).get("d", [unquote(address)])[0]
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    yield from ("/".join(parts[start:]) for start in range(len(parts)))
    if parts and _UPLOADED.match(parts[-1]):
        yield parts[-1][9:]
