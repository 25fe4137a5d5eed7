"""Check that every image of a data set can be used, once: the result is kept until something changes.

The cache is JSON under `scans/` in the user's cache folder, named by the annotation file's content. It is valid only
while every image file has the size and modification time that it had. Where the folder cannot be written there is none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.errors import DataError, ImageError
from data.media.image import check_image, stored_size
from files.atomic import LEFTOVER_AGE_S, remove_leftovers, write_json
from files.cache import cache_folder

_CACHE_VERSION = 2


@dataclass(frozen=True)
class ImageEntry:
    """An image as the annotation file describes it: id, name there, file, width and height in pixels."""

    image_id: int
    file_name: str
    path: Path
    width: int
    height: int


def check_images(entries: Sequence[ImageEntry], annotations: Path, *, progress: bool = True) -> None:
    """Refuse image files that are missing or broken, or whose size is not the one in the annotation file.

    Raises:
        DataError: one line about the first such image, and how many more there are.
    """
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        results: Iterable[str | None] = pool.map(lambda entry: _problem(entry, annotations), entries)
        label = f"Checking {annotations.name}"
        results = tqdm(results, desc=label, total=len(entries), unit="img", leave=False, disable=not progress)
        problems = [problem for problem in results if problem]
    if problems:
        more = len(problems) - 1
        also = f" ({more} more image{'s' * (more > 1)} of {annotations.name} cannot be used either)" if more else ""
        raise DataError(problems[0] + also)


def _problem(entry: ImageEntry, annotations: Path) -> str | None:
    """What is wrong with an image, in one line; None if it can be used."""
    where = f"{annotations}: image '{entry.file_name}' (id {entry.image_id})"
    try:
        if not entry.path.is_file():
            return f"{where} is not in {_folder(entry)}; copy it there, or correct the folder or file_name"
        check_image(entry.path)
        height, width, turned = stored_size(entry.path)
    except ImageError as error:
        return str(error)
    except (OSError, ValueError) as error:  # names that are too long, or hold a zero character
        return f"{where}: {' '.join(str(error).split())}; correct file_name"
    displayed = (height, width) if turned else (width, height)
    if (entry.width, entry.height) == displayed:
        return None
    if turned and (entry.width, entry.height) == (width, height):
        return (
            f"{where} was annotated as {width}x{height}, without the EXIF rotation of {entry.path}, which is shown as "
            f"{height}x{width}; remove the file's orientation tag, or annotate the rotated picture"
        )
    return (
        f"{where} is {entry.width}x{entry.height} there, but {entry.path} has {displayed[0]}x{displayed[1]} pixels; "
        "correct width and height and check its boxes, or restore the file"
    )


def _folder(entry: ImageEntry) -> str:
    folder = str(entry.path)
    return folder[: -len(entry.file_name) - 1] if folder.endswith("/" + entry.file_name) else str(entry.path.parent)


def fingerprint(*parts: bytes) -> str:
    """Hash of some content, as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def files_fingerprint(paths: Iterable[Path]) -> str:
    """Hash of names, sizes and modification times of files; a missing file changes it too."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(f"{path}|{_state(path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"


def read_scan(key: str) -> dict[str, Any] | None:
    """What `write_scan` kept under `key`; None if there is nothing, or nothing readable."""
    try:
        content = json.loads(_scan_file(key).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("version") != _CACHE_VERSION:
        return None
    return content


def write_scan(key: str, content: dict[str, Any]) -> None:
    """Keep the result of a scan, in one piece or not at all."""
    file = _scan_file(key)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(file.parent, LEFTOVER_AGE_S)
        write_json(file, {"version": _CACHE_VERSION} | content, separators=(",", ":"))


def _scan_file(key: str) -> Path:
    return cache_folder() / "scans" / f"{key}.json"
