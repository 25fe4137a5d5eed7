"""Check that every image of a data set can be used, and fingerprints that tell whether its files have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.errors import DataError, ImageError
from data.media.image import check_image, stored_size
from data.media.limits import MAX_PIXELS
from files.progress import bar
from files.words import count


@dataclass(frozen=True)
class ImageEntry:
    """An image as the annotation file describes it: id, name there, file, width and height in pixels, 0 if unknown."""

    image_id: int
    file_name: str
    path: Path
    width: int
    height: int


def check_images(
    entries: Sequence[ImageEntry], annotations: Path, *, max_pixels: int = MAX_PIXELS
) -> tuple[dict[int, str], np.ndarray]:
    """Look at the headers and the ends of all image files.

    Returns:
        What is wrong with each broken file, in one line, by the index of its entry; and width and height of each file
        `(n, 2)` int64 as displayed, 0 of the broken ones.

    Raises:
        DataError: a file is not there, or has not the size that the annotation file says: then nobody could say which
            of the two is right. One line about the first such image, and how many more there are.
    """
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        results: Iterable[_Finding] = pool.map(lambda entry: _look(entry, annotations, max_pixels), entries)
        label = f"Checking {annotations.name}"
        findings = list(bar(results, label, total=len(entries), unit="img", leave=False))
    problems = [finding.contradiction for finding in findings if finding.contradiction]
    if problems:
        more = len(problems) - 1
        also = f" ({count(more, 'more image')} of {annotations.name} cannot be used either)" if more else ""
        raise DataError(problems[0] + also)
    broken = {index: finding.broken for index, finding in enumerate(findings) if finding.broken}
    return broken, np.array([finding.size_wh for finding in findings], np.int64).reshape(-1, 2)


class _Finding(NamedTuple):
    """What is wrong with an image, "" for nothing: its file is broken, or contradicts the annotation file; its size."""

    broken: str = ""
    contradiction: str = ""
    size_wh: tuple[int, int] = (0, 0)


def _look(entry: ImageEntry, annotations: Path, max_pixels: int) -> _Finding:
    where = f"{annotations}: image '{entry.file_name}' (id {entry.image_id})"
    try:
        if not entry.path.is_file():
            windows = "; its backslashes are no folders here, write /" if "\\" in entry.file_name else ""
            why = f"{where} is not in {_folder(entry)}; copy it there, or correct the folder or file_name{windows}"
            return _Finding(contradiction=why)
        check_image(entry.path, max_pixels)
        height, width, turned = stored_size(entry.path, max_pixels)
    except ImageError as error:
        return _Finding(broken=str(error))
    except (OSError, ValueError) as error:  # names that are too long, or hold a zero character
        return _Finding(contradiction=f"{where}: {' '.join(str(error).split())}; correct file_name")
    displayed = (height, width) if turned else (width, height)
    return _Finding(contradiction=_other_size(entry, where, height, width, turned), size_wh=displayed)


def _other_size(entry: ImageEntry, where: str, height: int, width: int, turned: bool) -> str:
    """How the size in the annotation file differs from the file's; "" where it does not."""
    displayed = (height, width) if turned else (width, height)
    stated = (entry.width or displayed[0], entry.height or displayed[1])  # 0 where nothing is stated
    if stated == displayed:
        return ""
    if turned and (entry.width, entry.height) == (width, height):
        return (
            f"{where} was annotated as {width}x{height}, without the EXIF rotation of {entry.path}, which is shown as "
            f"{height}x{width}; remove the file's orientation tag, or annotate the rotated picture"
        )
    return (
        f"{where} is {stated[0]}x{stated[1]} there, but {entry.path} has {displayed[0]}x{displayed[1]} pixels; "
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
        digest.update(f"{path}|{file_state(path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def file_state(path: Path) -> str:
    """Size and modification time; another text after every change."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"
